"""The figures that are watched over windows of live traffic, and how far each must move to matter.

A move counts when it is both large, by the table below, and no chance, by what the reference period shows of
its own days (`monitoring.null`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Measure = Literal["relative", "absolute", "distance"]


@dataclass(frozen=True)
class Spec:
    """How one figure is judged.

    Attributes:
        words: what a person on call reads.
        measure: a move is measured relative to what is expected, as a difference, or is itself a distance
            from what is expected (`psi`, `shape`).
        watch, page: least move.
        rows: the column whose rows are held to `min_rows`.
    """

    words: str
    measure: Measure
    watch: float
    page: float
    rows: str


@dataclass(frozen=True)
class Cells:
    """One column of S windows. n, total: (S, C)."""

    labels: tuple[str, ...]
    n: np.ndarray
    total: np.ndarray

    def rows(self) -> np.ndarray:
        return self.n.sum(axis=1)

    def mean(self) -> np.ndarray:
        """(S,), NaN where there is no row."""
        return _ratio(self.total.sum(axis=1), self.n.sum(axis=1))

    def shares(self) -> np.ndarray:
        """(S, C), half a row added to every cell so that none is 0."""
        return (self.n + 0.5) / (self.n + 0.5).sum(axis=1, keepdims=True)

    def share_of(self, label: str) -> np.ndarray:
        """(S,)."""
        if label not in self.labels:
            return np.zeros(len(self.n))
        return _ratio(self.n[:, self.labels.index(label)], self.rows())


Windows = Mapping[str, Cells]
"""Column to its counts in the same S windows."""

MEANS: dict[str, Spec] = {
    "effective_view": Spec("Effective views, share of exposures", "relative", 0.05, 0.15, "effective_view"),
    "watch_ratio": Spec("Watched share of an item", "relative", 0.07, 0.2, "watch_ratio"),
    "strength": Spec("Strength of effective views", "relative", 0.07, 0.2, "strength"),
    "diversity": Spec("Pairs of a slate of different categories", "relative", 0.05, 0.15, "diversity"),
    "prefix_repetition": Spec("Slate under one first code", "relative", 0.1, 0.25, "prefix_repetition"),
    "repeated": Spec("Items served again on one day", "absolute", 0.05, 0.12, "repeated"),
    "popularity": Spec("Popularity of what is served (rank, 0 to 1)", "absolute", 0.03, 0.08, "popularity"),
    "served_new": Spec("Traffic on new items", "absolute", 0.05, 0.15, "served_new"),
    "served_unknown": Spec("Served items that the catalogue lacks", "absolute", 0.01, 0.03, "served_unknown"),
    "degraded": Spec("Slates without fresh features", "absolute", 0.02, 0.1, "degraded"),
    "no_history": Spec("Slates for an empty history", "absolute", 0.05, 0.15, "no_history"),
    "history_length": Spec("Length of the history", "relative", 0.1, 0.25, "history_length"),
    "no_signal": Spec("Exposures without a watch time", "absolute", 0.05, 0.2, "no_signal"),
    "score": Spec("HiGR's score", "relative", 0.15, 0.4, "score"),
    "margin": Spec(
        "Score of what was engaged with over the rest of the slate", "relative", 0.3, 0.6, "margin"
    ),
    "concordance": Spec(
        "Pairs of a slate that the score ranks as users did", "absolute", 0.03, 0.06, "margin"
    ),
}
PSI_COLUMNS: dict[str, str] = {
    "reason": "Why HiGR did not answer",
    "served_category": "Served: category",
    "exposed_category": "Exposed: category",
    "engaged_category": "Engaged with: category",
    "exposed_code_1": "Exposed: semantic ID, level 1",
    "feedback": "Received: feedback level",
}
PSI_WATCH, PSI_PAGE = 0.05, 0.1

Figure = Callable[[Windows], np.ndarray]


def specs(columns: Windows) -> dict[str, Spec]:
    """Every figure that these columns allow."""
    found = {name: spec for name, spec in MEANS.items() if name in columns}
    found["fallback"] = Spec("Slates that HiGR did not make", "absolute", 0.02, 0.1, "source")
    found["feedback_per_slate"] = Spec("Exposures reported a slate", "relative", 0.15, 0.4, "source")
    found["position_profile"] = Spec(
        "Where in the slate effective views are", "distance", 0.08, 0.15, "effective_at"
    )
    found["preference_gap"] = Spec(
        "Categories shown against categories engaged with", "absolute", 0.02, 0.05, "engaged_category"
    )
    found["calibration"] = Spec("Effective views at a given score", "distance", 0.03, 0.08, "calibration")
    found["planner_shift"] = Spec(
        "Planner's preference embedding for what users liked", "distance", 0.05, 0.15, "planner"
    )
    found["prefix_entropy"] = Spec(
        "Entropy of the second code under the first, as served", "relative", 0.1, 0.25, "served_prefix"
    )
    found["items_served"] = Spec(
        "Different items served (effective number)", "relative", 0.2, 0.5, "served_item"
    )
    for column in columns:
        frame, _, rest = column.partition("_")
        if column in PSI_COLUMNS:
            found[f"psi:{column}"] = Spec(PSI_COLUMNS[column], "distance", PSI_WATCH, PSI_PAGE, column)
        elif rest.startswith("code_") and frame in ("served", "engaged"):
            words = f"{'Served' if frame == 'served' else 'Engaged with'}: semantic ID, level {rest[5:]}"
            found[f"psi:{column}"] = Spec(words, "distance", PSI_WATCH, PSI_PAGE, column)
            if frame == "served":
                words = f"Served: perplexity of level {rest[5:]}"
                found[f"perplexity:{column}"] = Spec(words, "relative", 0.15, 0.35, column)
        elif column.startswith("engaged_in:"):
            words = f"Engaged with: category, segment {column.removeprefix('engaged_in:')}"
            found[f"psi:{column}"] = Spec(words, "distance", PSI_WATCH, PSI_PAGE, column)
        elif column.startswith("effective_in:"):
            words = f"Effective views, segment {column.removeprefix('effective_in:')}"
            found[column] = Spec(words, "relative", 0.1, 0.25, column)
    return {name: spec for name, spec in found.items() if spec.rows in columns}


def value(name: str, columns: Windows) -> np.ndarray:
    """(S,) of a figure that is no distance; NaN where there is nothing to measure."""
    kind, _, column = name.partition(":")
    if kind == "perplexity":
        return _perplexity(columns[column].n)
    match name:
        case "fallback":
            return 1 - columns["source"].share_of("higr") - columns["switched"].mean()
        case "feedback_per_slate":
            exposures = columns["effective_view"].rows() if "effective_view" in columns else 0.0
            return _ratio(exposures, columns["source"].rows())
        case "preference_gap":
            return jensen_shannon(columns["exposed_category"], columns["engaged_category"])
        case "concordance":
            return columns["concordance"].mean()
        case "prefix_entropy":
            return _entropy(columns["served_prefix"].n) - _entropy(_first(columns["served_prefix"]))
        case "items_served":
            return _perplexity(columns["served_item"].n)
        case _:
            return columns[name].mean()


def distance(name: str, columns: Windows, expected: Windows) -> np.ndarray:
    """(S,) of `psi:COLUMN`, `position_profile` or `calibration`: 0 is no difference."""
    kind, _, column = name.partition(":")
    if kind == "psi":
        return psi(columns[column], expected[column])
    now, before = columns[_CELLS[name]], expected[_CELLS[name]]
    if name == "planner_shift":
        gone = np.linalg.norm(_ratio(now.total, now.n) - _ratio(before.total, before.n), axis=1)
        return _ratio(gone, np.linalg.norm(_ratio(before.total, before.n), axis=1))
    profile, usual = _ratio(now.total, now.n), _ratio(before.total, before.n)
    if name == "position_profile":  # its shape alone: how much is watched at all is another figure
        profile, usual = profile / now.mean()[:, None], usual / before.mean()[:, None]
    off = np.where((now.n > 0) & (before.n > 0), np.abs(profile - usual), 0.0)
    return (off * _ratio(now.n, now.rows()[:, None])).sum(axis=1)


_CELLS = {"planner_shift": "planner", "position_profile": "effective_at", "calibration": "calibration"}


def psi(now: Cells, before: Cells) -> np.ndarray:
    """(S,) population stability index."""
    new, old = now.shares(), before.shares()
    return ((new - old) * np.log(new / old)).sum(axis=1)


def jensen_shannon(one: Cells, other: Cells) -> np.ndarray:
    """(S,) divergence in bits, 0 to 1; the columns may differ in their cells."""
    labels = sorted({*one.labels, *other.labels})
    p, q = (_placed(cells, labels).shares() for cells in (one, other))
    middle = (p + q) / 2
    return (p * np.log2(p / middle) + q * np.log2(q / middle)).sum(axis=1) / 2


def _placed(cells: Cells, labels: list[str]) -> Cells:
    n = np.zeros((len(cells.n), len(labels)))
    n[:, [labels.index(label) for label in cells.labels]] = cells.n
    return Cells(tuple(labels), n, np.zeros_like(n))


def _entropy(n: np.ndarray) -> np.ndarray:
    """(S,) in nats; NaN where nothing was counted."""
    share = _ratio(n, n.sum(axis=1, keepdims=True))
    return -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)


def _perplexity(n: np.ndarray) -> np.ndarray:
    return np.exp(_entropy(n))


def _first(prefixes: Cells) -> np.ndarray:
    """(S, first codes) counts."""
    names = np.array([label.split("-")[0] for label in prefixes.labels])
    return np.stack([prefixes.n[:, names == name].sum(axis=1) for name in np.unique(names)], axis=1)


def _ratio(part: np.ndarray | float, whole: np.ndarray) -> np.ndarray:
    whole = np.asarray(whole, dtype=float)
    part = np.broadcast_to(part, np.broadcast_shapes(np.shape(part), whole.shape)).astype(float)
    return np.divide(
        part, whole, out=np.full(part.shape, np.nan), where=np.broadcast_to(whole > 0, part.shape)
    )
