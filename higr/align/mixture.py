"""Which kinds of negatives a slate allows, why not the others, and which one it gets."""

from collections import Counter

import numpy as np

from higr.align.candidates import Candidates
from higr.align.draws import uniform
from higr.align.signals import Signals
from higr.config import PreferenceConfig, TrainingConfig
from higr.training.exposures import PADDING

NEGATIVES = ("ranking", "interest", "diversity", "on_policy", "freshness", "creator_exposure", "value")
OF_SIGNALS = NEGATIVES[4:]
REASONS = (
    "no_engagement",
    "too_little_engagement",
    "one_item",
    "all_engaged",
    "too_few_similar",
    "own_too_short",
    "own_not_worse",
    "no_lower_signal",
)
"""In this order the first that holds is why a kind is not possible."""


class Mixture:
    """The configured kinds and their weights.

    Args:
        items: of the catalogue.
        signals: of the kinds in OF_SIGNALS that have a weight.
    """

    def __init__(
        self, config: PreferenceConfig, training: TrainingConfig, items: int, signals: Signals | None
    ) -> None:
        weights = {kind: getattr(config, kind) for kind in NEGATIVES if kind not in OF_SIGNALS}
        weights |= {signal.kind: signal.negative for signal in config.signals}
        self.kinds = [kind for kind in NEGATIVES if weights.get(kind)]
        self._weights = np.array([weights[kind] for kind in self.kinds])
        self._items, self._min_engaged = items, training.min_engaged
        self._levels = {} if signals is None else signals.levels
        self._lower = {  # (N,) how many items are of a lower level
            kind: np.searchsorted(np.sort(self._levels[kind]), self._levels[kind])
            for kind in self.kinds
            if kind in OF_SIGNALS
        }

    def draw(self, candidates: Candidates, seed: int) -> tuple[np.ndarray, Counter[str]]:
        """(R,) int8 index into NEGATIVES of each slate's kind, -1 where it allows none; those by reason.

        The reason is skipped_REASON, with `_and_` between several where the kinds fail for different ones.
        """
        why = np.stack([self._refused(kind, candidates) for kind in self.kinds], axis=1)  # (R, kinds)
        weights = np.where(why == 0, self._weights, 0.0).cumsum(axis=1)
        total = weights[:, -1:]
        chance = uniform(seed, 0, candidates.rows, 1) * total
        place = (weights <= np.minimum(chance, np.nextafter(total, 0))).sum(axis=1)
        none = (why != 0).all(axis=1)
        place[none] = len(self.kinds)
        reasons = Counter(np.bitwise_or.reduce(why[none], axis=1).tolist())
        numbers = np.array([*(NEGATIVES.index(kind) for kind in self.kinds), -1], np.int8)
        return numbers[place], Counter({_name(bits): count for bits, count in reasons.items()})

    def _refused(self, kind: str, candidates: Candidates) -> np.ndarray:
        """(R,) 0 where the kind is possible, else the bit of the first reason against it."""
        engaged, lengths = candidates.engaged, candidates.lengths
        against = {"no_engagement": engaged == 0, "too_little_engagement": engaged < self._min_engaged}
        if kind in ("ranking", "diversity"):
            against["one_item"] = lengths < 2
        if kind == "interest":
            against["all_engaged"] = candidates.unengaged[:, 0] == PADDING
        if kind == "diversity":
            against["too_few_similar"] = self._items - lengths < lengths - 1
        if kind == "on_policy":
            against["own_too_short"] = (candidates.own != PADDING).sum(axis=1) < lengths
            against["own_not_worse"] = ~candidates.own_is_worse
        if kind in OF_SIGNALS:
            against["no_lower_signal"] = ~self._has_lower(kind, candidates.positives)
        why = np.zeros(len(engaged), dtype=np.int64)
        for reason, holds in against.items():
            why[holds & (why == 0)] = 1 << REASONS.index(reason)
        return why

    def _has_lower(self, kind: str, positives: np.ndarray) -> np.ndarray:
        """(R,) whether for some item of the positive there is one of a lower level outside of it."""
        levels = np.where(positives == PADDING, np.inf, self._levels[kind][positives])
        inside = (levels[:, :, None] > levels[:, None, :]).sum(axis=2)
        return ((self._lower[kind][positives] > inside) & (positives != PADDING)).any(axis=1)


def _name(bits: int) -> str:
    return "skipped_" + "_and_".join(reason for i, reason in enumerate(REASONS) if bits >> i & 1)
