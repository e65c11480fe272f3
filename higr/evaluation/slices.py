"""Groups of slates and items whose figures are looked at by themselves."""

from collections.abc import Mapping, Sequence

import numpy as np

from higr.config import EvaluationConfig
from higr.evaluation.bootstrap import Interval
from higr.evaluation.compare import Protocol, summary
from higr.evaluation.examples import engaged_of
from higr.evaluation.facts import Background
from higr.evaluation.judge import KINDS
from higr.evaluation.measured import Measured
from higr.evaluation.results import Slice
from higr.slate import UserContext

METRICS = ("impression_hit", "effective_view_hit", "ndcg", "recall")
"""What is measured of slices of users."""


def user_slices(
    contexts: Sequence[UserContext], config: EvaluationConfig, background: Background | None
) -> dict[str, np.ndarray]:
    """Name to (S,) bool, the slates in it; new and known users only with a background."""
    engaged = np.array([len(engaged_of(context)) for context in contexts])
    slices = {}
    if background is not None:
        known = np.array([context.user_id in background.users for context in contexts], dtype=bool)
        slices = {"new_users": ~known, "known_users": known}
    short, long = engaged < config.short_history, engaged >= config.long_history
    return {**slices, "short_history": short, "medium_history": ~short & ~long, "long_history": long}


def slices_of(
    measured: Mapping[str, Sequence[Measured]], k: int, min_slice: int, protocol: Protocol
) -> tuple[Slice, ...]:
    """Figures of every slice, for models with one or more runs each; none for slices that are too small.

    Users' slices hold the metrics of their slates; items' slices recall of the engaged items of one kind,
    over slates that have any.
    """
    first = next(iter(measured.values()))[0]
    found = []
    for name, inside in first.slices.items():
        metrics = tuple(f"{metric}@{k}" for metric in METRICS)
        found.append(_slice(name, measured, inside, metrics, min_slice, protocol))
    for kind in KINDS:
        metric = f"recall_{kind}@{k}"
        if metric in first.values:
            inside = ~np.isnan(first.values[metric])
            found.append(_slice(f"{kind}_items", measured, inside, (metric,), min_slice, protocol))
    return tuple(found)


def _slice(
    name: str,
    measured: Mapping[str, Sequence[Measured]],
    inside: np.ndarray,
    metrics: tuple[str, ...],
    min_slice: int,
    protocol: Protocol,
) -> Slice:
    users = next(iter(measured.values()))[0].users[inside]
    values: dict[str, dict[str, Interval]] = {}
    if len(users) >= min_slice:
        values = {
            model: summary([run.part(inside, metrics) for run in runs], protocol)
            for model, runs in measured.items()
        }
    return Slice(name=name, slates=len(users), users=len(set(users.tolist())), metrics=metrics, values=values)
