"""What each stage of each pipeline is called, reads and follows.

`pipelines.training`, `pipelines.refresh` and `pipelines.realign` wire the same graphs; a test holds them
together. The stages that `prepare` to `materialise` name are the same in all of them, and so are their keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Attributes:
    title: what people read.
    sections: of `RunConfig`, those it reads itself; stages before it add theirs.
    after: stages whose artifacts it reads.
    packages: whose code it runs.
    cached: a result of an earlier run may stand for it; not where it depends on what is in the store.
    """

    title: str
    sections: tuple[str, ...]
    after: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("higr", "components")
    cached: bool = True


Graph = Mapping[str, Stage]
"""In an order in which the stages can run."""

_PREPARE = Stage("Prepare data", ("data", "seed"))
_MATERIALISE = Stage("Materialise features", ("data",), ("prepare",), ("higr", "components", "feature_repo"))
_PRODUCTION = Stage("Fetch the bundle in production", (), cached=False)
_GATE = ("data", "evaluation", "gate", "seed")


def _publish(after: str) -> Stage:
    return Stage("Publish the bundle", (), (after,), cached=False)


STAGES: Graph = {
    "prepare": _PREPARE,
    "tokenize": Stage("Learn semantic IDs", ("tokenizer", "seed"), ("prepare",)),
    "pretrain": Stage("Pretrain", ("data", "model", "training", "seed"), ("prepare", "tokenize")),
    "align": Stage(
        "Align on preferences", ("align", "data", "training", "seed"), ("prepare", "tokenize", "pretrain")
    ),
    "baseline": Stage("Fit the incumbent", ("data", "baseline", "seed"), ("prepare",)),
    "evaluate": Stage(
        "Evaluate",
        ("data", "decode", "evaluation", "seed"),
        ("prepare", "tokenize", "pretrain", "align", "baseline"),
    ),
    "bundle": Stage(
        "Assemble the bundle",
        # Its manifest holds the whole configuration.
        (
            "name",
            "seed",
            "data",
            "tokenizer",
            "model",
            "training",
            "align",
            "decode",
            "baseline",
            "evaluation",
            "gate",
            "monitoring",
        ),
        ("prepare", "tokenize", "align", "baseline", "evaluate"),
    ),
    "materialise": _MATERIALISE,
}
"""Of every training."""

TRAINING: Graph = {
    **STAGES,
    "gate": Stage("Compare with production", _GATE, ("prepare", "bundle"), cached=False),
    "publish": _publish("bundle"),
}
"""The last two only where a store is given."""

REFRESH: Graph = {
    "prepare": _PREPARE,
    "materialise": _MATERIALISE,
    "production": _PRODUCTION,
    "update_catalogue": Stage("Update the catalogue", (), ("production",), cached=False),
    "publish": _publish("update_catalogue"),
}

REALIGN: Graph = {
    "prepare": _PREPARE,
    "production": _PRODUCTION,
    "realign": Stage("Align on the last hours", ("data",), ("prepare", "production"), cached=False),
    "gate": Stage("Compare with production", _GATE, ("prepare", "realign"), cached=False),
    "publish": _publish("realign"),
}

GRAPHS: Mapping[str, Graph] = {"training": TRAINING, "refresh": REFRESH, "realign": REALIGN}


def ancestors(name: str, graph: Graph = STAGES) -> frozenset[str]:
    """All stages that must have run before."""
    after = graph[name].after
    return frozenset(after).union(*(ancestors(earlier, graph) for earlier in after))
