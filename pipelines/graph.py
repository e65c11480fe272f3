"""What each stage of the training pipeline is called, reads and follows.

`pipelines.training` wires the same graph; a test holds the two together.
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
    """

    title: str
    sections: tuple[str, ...]
    after: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("higr", "components")


STAGES: Mapping[str, Stage] = {
    "prepare": Stage("Prepare data", ("data", "seed")),
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
            "monitoring",
        ),
        ("prepare", "tokenize", "align", "baseline", "evaluate"),
    ),
    "materialise": Stage(
        "Materialise features", ("data",), ("prepare",), ("higr", "components", "feature_repo")
    ),
}
"""In an order in which they can run."""


def ancestors(name: str) -> frozenset[str]:
    """All stages that must have run before."""
    return frozenset(STAGES[name].after).union(*map(ancestors, STAGES[name].after))
