"""A candidate beside the bundle in production, on the same test slates: is it good enough to be published?

Both decode by the plain reference engine, each with its own beam, and choose only among items that may be
shown by the candidate: an item that left the catalogue counts for neither. The candidate has what is new.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from higr.bundle import Bundle
from higr.config import DecodeConfig, GateConfig, RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.schemas import TIMESTAMP
from higr.decode.recommender import HiGRRecommender
from higr.errors import InputError
from higr.evaluation.bootstrap import Interval
from higr.evaluation.compare import Difference, Protocol, compare, summary
from higr.evaluation.held_out import HeldOut
from higr.evaluation.measured import Measured
from higr.progress import Progress

CANDIDATE, PRODUCTION = "candidate", "production"


@dataclass(frozen=True)
class Beside:
    """Two bundles on the same slates.

    Attributes:
        candidate, production: versions.
        values: by side and metric.
        differences: by metric, candidate minus production, paired by slate.
        slates, users: measured.
        k: cut-off of every metric.
    """

    candidate: str
    production: str
    values: dict[str, dict[str, Interval]]
    differences: dict[str, Difference]
    slates: int
    users: int
    k: int


@dataclass(frozen=True)
class Judged:
    """One metric of the gate.

    Attributes:
        floor: least mean of the candidate that passes.
        reached: what is compared with it: the candidate's mean, or the lower end of what it may be.
    """

    metric: str
    floor: float
    reached: float

    @property
    def passed(self) -> bool:
        return self.reached >= self.floor

    def __str__(self) -> str:
        return f"{self.metric} reaches {self.reached:.4f}, below {self.floor:.4f}"


def compare_bundles(
    candidate: Bundle,
    production: Bundle,
    data: PreparedData,
    config: RunConfig,
    since: datetime | None = None,
    progress: Progress | None = None,
) -> Beside:
    """Measure both on the test slates of `data`, or on all slates from a moment on.

    Raises:
        InputError: no slate to measure on, or none with an engaged item; a model that cannot plan
            `evaluation.k` positions.
    """
    slates = _slates(data, since)
    contexts = HistoryIndex.build(data.events, data.users, config.data).contexts(slates)
    test = HeldOut.draw(
        slates,
        contexts,
        candidate.items,
        config.evaluation,
        config.seed,
        training=data.train_events,
        catalog=candidate.catalog,
    )
    k = config.evaluation.k
    runs: dict[str, list[Measured]] = {}
    for name, bundle in ((CANDIDATE, candidate), (PRODUCTION, production)):
        shown = test.generate(name, _recommender(bundle, test.facts.position), k, progress)
        runs[name] = [test.measure(shown, k)]
    settings = config.evaluation
    protocol = Protocol(settings.bootstrap, settings.permutations, settings.confidence, config.seed)
    return Beside(
        candidate=candidate.version,
        production=production.version,
        values={name: summary(of_side, protocol) for name, of_side in runs.items()},
        differences=compare(runs[CANDIDATE], {PRODUCTION: runs[PRODUCTION]}, protocol)[PRODUCTION],
        slates=len(test.contexts),
        users=len({context.user_id for context in test.contexts}),
        k=k,
    )


def judge(beside: Beside, gate: GateConfig) -> tuple[Judged, ...]:
    """Every metric of the gate against production's mean less the margin.

    Raises:
        InputError: a metric that the test slates do not give.
    """
    judged = []
    for name in gate.metrics:
        metric = f"{name}@{beside.k}"
        if metric not in beside.differences:
            raise InputError(
                f"gate.metrics: {name} is defined for none of {beside.slates} test slates; name another"
            )
        base, difference = beside.values[PRODUCTION][metric].mean, beside.differences[metric]
        gained = difference.mean if gate.evidence == "measured" else difference.low
        judged.append(Judged(metric, floor=base * (1 - gate.margin), reached=base + gained))
    return tuple(judged)


def _slates(data: PreparedData, since: datetime | None) -> pa.Table:
    if since is None:
        return data.split("test")
    start = pa.scalar(since, TIMESTAMP)
    slates = data.slates.filter(pc.greater_equal(data.slates["timestamp"], start))
    if not slates.num_rows:
        raise InputError(f"no slate since {since.isoformat()} to measure on; prepare later data")
    return slates


def _recommender(bundle: Bundle, allowed: Mapping[str, int]) -> HiGRRecommender:
    decode = DecodeConfig.model_validate(bundle.manifest.config["decode"])
    gone = [item for item in bundle.catalog.item_ids if item not in allowed]
    disabled: Sequence[str] = [*bundle.disabled, *gone]
    return HiGRRecommender(
        bundle.model, bundle.catalog, decode.beam_width, disabled, cold_discount=decode.cold_discount
    )
