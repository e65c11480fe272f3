"""What a figure does when nothing has changed: the reference period's own windows against each other.

Blocks are whole windows of the reference (a day, most often) and, within one, sixteenths of the users. Draws
are every window as it was, and windows whose users were drawn again with replacement; each is compared with
the other windows of its kind. Where the reference has too few windows, users are drawn again out of all of
it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import t as student

from monitoring.columns import SEPARATOR
from monitoring.signals import Cells, Spec, distance, value
from monitoring.tally import BLOCKS

DRAWS = 160
LEAST_WINDOWS = 5
ENOUGH_WINDOWS = 14
"""With so many, the windows as they were say enough; drawing users again would count their chance twice."""
LEAST_OF_A_KIND = 3
MIN_EXPECTED = 10.0
"""Cells with fewer rows in an expected window are counted together."""
COARSE = ("served_prefix", "served_item")
OTHER = "other"


@dataclass(frozen=True)
class Blocks:
    """Counts of W windows. n, total: column to (W, BLOCKS, C); labels: column to its C cells."""

    labels: dict[str, tuple[str, ...]]
    n: dict[str, np.ndarray]
    total: dict[str, np.ndarray]

    @classmethod
    def of(cls, windows: list[pa.Table]) -> "Blocks":
        """windows: `TALLY` rows of each."""
        frames = [_split(table.to_pandas().assign(window=i)) for i, table in enumerate(windows)]
        rows = pd.concat(frames, ignore_index=True)
        labels, n, total = {}, {}, {}
        for column, part in rows.groupby("column", sort=True):
            cell, names = pd.factorize(part["cell"], sort=True)
            shape = (len(windows), BLOCKS, len(names))
            place = (part["window"].to_numpy() * BLOCKS + part["block"].to_numpy()) * len(names) + cell
            size = int(np.prod(shape))
            labels[str(column)] = tuple(map(str, names))
            n[str(column)] = np.bincount(place, part["n"], size).reshape(shape)
            total[str(column)] = np.bincount(place, part["total"], size).reshape(shape)
        return cls(labels, n, total)

    def windows(self, rows: np.ndarray, weights: np.ndarray) -> dict[str, Cells]:
        """S windows: (S,) which, (S, BLOCKS) how often each block of users."""
        found = {}
        for column, labels in self.labels.items():
            own = np.ones_like(weights) if column in COARSE else weights
            n = np.einsum("sb,sbc->sc", own, self.n[column][rows])
            total = np.einsum("sb,sbc->sc", own, self.total[column][rows])
            found[column] = Cells(labels, n, total)
        return found

    def sums(self, weights: np.ndarray) -> dict[str, Cells]:
        """S sums over windows: (S, W) weights."""
        return {
            column: Cells(
                labels,
                weights @ self.n[column].sum(axis=1),
                weights @ self.total[column].sum(axis=1),
            )
            for column, labels in self.labels.items()
        }


@dataclass(frozen=True)
class Judged:
    """One figure of the current window.

    Attributes:
        name, spec: which.
        now, expected: its value; of a distance, itself and its median when nothing has changed.
        move: how far it has moved, in the measure of the spec.
        p: chance of such a move when nothing has changed; 1 where there are too few rows.
        sure: the move that is exceeded with probability `Null.certainty` when nothing has changed.
        rows_now, rows_before: of its column.
    """

    name: str
    spec: Spec
    now: float
    expected: float
    move: float
    p: float
    sure: float
    rows_now: int
    rows_before: int


class Null:
    """The reference period, ready to judge windows of one kind.

    Args:
        reference: W windows of the reference, `TALLY` rows of each.
        kinds: (W,) what must be equal for windows to be compared, such as the weekday.
        kind: of the window that is to be judged.
        certainty: probability of `Judged.sure`.
    """

    def __init__(
        self,
        reference: list[pa.Table],
        current: pa.Table,
        kinds: np.ndarray,
        kind: int,
        *,
        seed: int = 0,
        certainty: float = 1e-5,
    ) -> None:
        self.certainty = certainty
        count = len(reference)
        blocks = _merged(Blocks.of([*reference, current]))
        rng = np.random.default_rng(seed)
        here = np.zeros(count + 1, dtype=bool)
        here[:count] = _alike(kinds, kind)
        self.by_days = count >= LEAST_WINDOWS
        whole = np.ones((1, BLOCKS))
        self.current = blocks.windows(np.array([count]), whole)
        self.expected = blocks.sums(here[None].astype(float))
        if self.by_days:
            draws = 0 if count >= ENOUGH_WINDOWS else DRAWS
            rows = np.concatenate([np.arange(count), rng.integers(count, size=draws)])
            drawn = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), size=draws)
            weights = np.vstack([np.ones((count, BLOCKS)), drawn])
            others = np.zeros((count, count + 1))
            for w in range(count):
                others[w, :count] = _alike(np.where(np.arange(count) == w, -1, kinds), kinds[w])
                others[w, w] = 0
            self.draws = blocks.windows(rows, weights)
            self.usual = {
                c: Cells(v.labels, v.n[rows], v.total[rows]) for c, v in blocks.sums(others).items()
            }
            # Users drawn again widen the spread of few windows, and make it the better known.
            self.freedom = count - 1 + (BLOCKS - 1 if draws else 0)
        else:
            everything = Blocks(
                blocks.labels,
                {c: n[:count].sum(axis=0, keepdims=True) for c, n in blocks.n.items()},
                {c: n[:count].sum(axis=0, keepdims=True) for c, n in blocks.total.items()},
            )
            drawn = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), size=DRAWS)
            self.draws = everything.windows(np.zeros(DRAWS, np.int64), drawn)
            pooled = everything.windows(np.zeros(1, np.int64), whole)
            self.usual = {
                c: Cells(v.labels, np.repeat(v.n, DRAWS, 0), np.repeat(v.total, DRAWS, 0))
                for c, v in pooled.items()
            }
            self.expected = pooled
            self.freedom = BLOCKS - 1

    def judge(self, name: str, spec: Spec, min_rows: int) -> Judged | None:
        """None where the reference has nothing to compare with."""
        now, before = self.current[spec.rows].rows()[0], self.expected[spec.rows].rows()[0]
        if before < min_rows:
            return None
        wider = 1.0 if self.by_days else 1 + before / max(now, 1.0)  # draws are as large as the reference
        with np.errstate(invalid="ignore", divide="ignore"):
            if spec.measure == "distance":
                found = self._distance(name, wider)
            else:
                found = self._value(name, spec, wider)
        if found is None:
            return None
        value_now, expected, move, p, sure = found
        if (now < min_rows and name != "feedback_per_slate") or not np.isfinite(value_now):
            p = 1.0
        return Judged(name, spec, value_now, expected, move, p, sure, int(now), int(before))

    def _value(self, name: str, spec: Spec, wider: float) -> tuple[float, float, float, float, float] | None:
        now, expected = float(value(name, self.current)[0]), float(value(name, self.expected)[0])
        moves = value(name, self.draws) - (usual := value(name, self.usual))
        if spec.measure == "relative":
            moves = moves / np.abs(usual)
        moves = moves[np.isfinite(moves)]
        if len(moves) < LEAST_WINDOWS or not np.isfinite(expected):
            return None
        spread = float(np.sqrt((moves**2).mean() * wider)) + 1e-9
        move = now - expected
        if spec.measure == "relative":
            move = move / max(abs(expected), 1e-9)
        p = float(2 * student.sf(abs(move) / spread, self.freedom)) if np.isfinite(move) else 1.0
        return now, expected, move, p, spread * float(student.isf(self.certainty / 2, self.freedom))

    def _distance(self, name: str, wider: float) -> tuple[float, float, float, float, float] | None:
        now = float(distance(name, self.current, self.expected)[0])
        draws = distance(name, self.draws, self.usual)
        draws = draws[np.isfinite(draws)] * (wider if name.startswith("psi:") else np.sqrt(wider))
        if len(draws) < LEAST_WINDOWS:
            return None
        # A PSI is near a multiple of chi-squared, whose root is near normal.
        roots = np.sqrt(np.maximum(draws, 0))
        centre, spread = float(roots.mean()), float(roots.std(ddof=1)) + 1e-4
        usual = centre**2
        root = np.sqrt(max(now, 0.0)) if np.isfinite(now) else centre
        p = float(student.sf((root - centre) / spread, self.freedom))
        sure = (centre + spread * float(student.isf(self.certainty, self.freedom))) ** 2 - usual
        return now, usual, max(now - usual, 0.0), p, sure


def adjusted(p: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Holm's and Benjamini and Hochberg's adjusted p-values, in the order of `p`."""
    values = np.asarray(p, dtype=float)
    order, count = np.argsort(values, kind="stable"), len(values)
    holm = np.maximum.accumulate(np.minimum(values[order] * (count - np.arange(count)), 1.0))
    hochberg = np.minimum.accumulate((values[order] * count / (np.arange(count) + 1))[::-1])[::-1]
    back = np.argsort(order, kind="stable")
    return holm[back], np.minimum(hochberg, 1.0)[back]


def _alike(kinds: np.ndarray, kind: int) -> np.ndarray:
    """(W,) bool: windows of one kind, or all where they are too few."""
    same = kinds == kind
    return same if same.sum() >= LEAST_OF_A_KIND else kinds >= 0


def _split(rows: pd.DataFrame) -> pd.DataFrame:
    """`engaged_in` and `effective_in` as one column a segment."""
    rows = rows.astype({"column": object, "cell": object})
    of_segment = rows["column"] == "engaged_in"
    both = rows.loc[of_segment, "cell"].str.split(SEPARATOR, n=1, expand=True)
    if len(both):
        rows.loc[of_segment, "column"] = "engaged_in:" + both[0]
        rows.loc[of_segment, "cell"] = both[1]
    rate = rows["column"] == "effective_in"
    rows.loc[rate, "column"] = "effective_in:" + rows.loc[rate, "cell"]
    rows.loc[rate, "cell"] = ""
    return rows[rows["column"] != "skipped"]


KEPT_WHOLE = ("planner", "effective_at", "strength_at", "calibration", *COARSE)


def _merged(blocks: Blocks) -> Blocks:
    """Rare cells as one: rare in the mean window, and in the last."""
    labels, n, total = dict(blocks.labels), dict(blocks.n), dict(blocks.total)
    for column, names in blocks.labels.items():
        windows = n[column].sum(axis=1)
        rare = (windows[:-1].mean(axis=0) < MIN_EXPECTED) & (windows[-1] < MIN_EXPECTED)
        if column in KEPT_WHOLE or len(names) < 2 or rare.sum() < 2:
            continue
        labels[column] = (*np.array(names, dtype=object)[~rare], OTHER)
        for arrays in (n, total):
            values = arrays[column]
            arrays[column] = np.concatenate(
                [values[..., ~rare], values[..., rare].sum(-1, keepdims=True)], -1
            )
    return Blocks(labels, n, total)
