"""The slates that every model is measured on, and how one model is measured on them.

    test = HeldOut.draw(slates, contexts, items, config, seed, training=training, catalog=catalog)
    generated = test.generate("higr", recommender, 10)
    at_10, at_5 = test.measure(generated, 10), test.measure(generated, 5)

The second cut-off comes free only where a model's first five of ten are its five: HiGR, SASRec, the
incumbent and popularity. A beam over the whole session is asked again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.catalog import Catalog
from higr.config import EvaluationConfig
from higr.errors import HigrError, InputError
from higr.evaluation.facts import Background, ItemFacts
from higr.evaluation.judge import Logged, item_rows, slate_values
from higr.evaluation.measured import Measured
from higr.evaluation.metrics import catalogue_coverage, gini
from higr.evaluation.slices import user_slices
from higr.progress import Progress
from higr.slate import Recommender, Slate, UserContext

BATCH = 256
"""Contexts asked for at once."""


@dataclass(frozen=True)
class HeldOut:
    """S test slates with all that their measurement needs; the same for every model.

    Attributes:
        slates: `SLATES`, in order of (timestamp, slate_id).
        contexts: what was known before each slate.
        exclude: items each context may not be given.
        logged: how the exposed items were received.
        facts: of the items that may be recommended.
        background: of the training period; None: no popularity lift, no new users, no kinds of items.
        previous: (S,) row of the same user's slate before, -1 for the first.
        slices: slice of users to (S,) bool.
    """

    slates: pa.Table
    contexts: Sequence[UserContext]
    exclude: Sequence[Collection[str]]
    logged: Logged
    facts: ItemFacts
    background: Background | None
    previous: np.ndarray
    slices: dict[str, np.ndarray]

    @classmethod
    def draw(
        cls,
        slates: pa.Table,
        contexts: Sequence[UserContext],
        items: pa.Table,
        config: EvaluationConfig,
        seed: int,
        *,
        training: pa.Table | None = None,
        catalog: Catalog | None = None,
    ) -> "HeldOut":
        """At most `config.max_slates` of the slates that are long enough.

        Args:
            slates: test slates (`SLATES`), with one context each.
            items: the catalogue (`ITEMS`).
            training: `LABELLED_EVENTS` before the validation period.
            catalog: semantic IDs, for prefix entropy.

        Raises:
            InputError: no slate, not one context a slate, no slate long enough, or no engaged item in any.
        """
        if slates.num_rows != len(contexts) or not contexts:
            raise InputError(
                f"evaluation: {len(contexts)} contexts for {slates.num_rows} test slates; "
                "give one a slate, and at least one slate"
            )
        rows = _draw(slates, config, seed)
        slates, contexts = slates.take(rows), [contexts[i] for i in rows]
        logged = Logged.of(slates)
        if not logged.relevant.any():
            raise InputError(
                f"evaluation: none of {slates.num_rows} test slates has an engaged item; "
                "check data.engagement (effective view) and data.test_start"
            )
        background = Background.of(training, config.head_share) if training is not None else None
        return cls(
            slates,
            contexts,
            [frozenset(c.item_ids) if config.exclude_seen else frozenset() for c in contexts],
            logged,
            ItemFacts.of(items, catalog, background),
            background,
            _previous(slates),
            user_slices(contexts, config, background),
        )

    def generate(
        self, name: str, recommender: Recommender, k: int, progress: Progress | None = None
    ) -> list[Slate]:
        """Slates of one model, each checked against the contract of `Recommender`.

        Raises:
            HigrError: a duplicate, excluded, disabled or unknown item, or not one slate a context.
        """
        slates: list[Slate] = []
        for low in range(0, len(self.contexts), BATCH):
            part = slice(low, low + BATCH)
            contexts, exclude = self.contexts[part], self.exclude[part]
            got = recommender.recommend(contexts, k, exclude)
            if len(got) != len(contexts):
                raise HigrError(
                    f"model {name!r} gave {len(got)} slates for {len(contexts)} contexts; give one each"
                )
            for slate, excluded in zip(got, exclude, strict=True):
                self._check(name, slate, excluded)
            slates.extend(got)
            if progress is not None:
                progress(name, len(slates), len(self.contexts))
        return slates

    def measure(self, generated: Sequence[Slate], k: int) -> Measured:
        """The first k positions of what `generate` gave, or of anything that keeps its contract."""
        values = slate_values(
            generated, self.logged, self.facts, k, background=self.background, previous=self.previous
        )
        items, size = item_rows(generated, self.facts, k), len(self.facts.position)
        totals = {"coverage": catalogue_coverage(items, size), "gini": gini(items, size)}
        slates, users = (np.array(self.slates[name].to_pylist(), str) for name in ("slate_id", "user_id"))
        return Measured(slates, users, values, self.slices, totals)

    def _check(self, name: str, slate: Slate, excluded: Collection[str]) -> None:
        allowed = self.facts.position
        wrong = [item for item in slate.item_ids if item in excluded or item not in allowed]
        if wrong or len(set(slate.item_ids)) != len(slate.item_ids):
            reason = (
                f"item {wrong[0]!r}, which is excluded, disabled or unknown" if wrong else "an item twice"
            )
            raise HigrError(f"model {name!r} recommended {reason}; its figures would mean nothing")


def _draw(slates: pa.Table, config: EvaluationConfig, seed: int) -> np.ndarray:
    """Rows of the slates that are long enough, `max_slates` of them at most, in ascending order."""
    exposed = pc.list_value_length(slates["item_ids"]).to_numpy()
    rows = np.flatnonzero(exposed >= config.min_exposed)
    if not len(rows):
        raise InputError(
            f"evaluation: none of {slates.num_rows} test slates has {config.min_exposed} exposures; "
            "lower evaluation.min_exposed"
        )
    if len(rows) <= config.max_slates:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, config.max_slates, replace=False))


def _previous(slates: pa.Table) -> np.ndarray:
    """(S,) row of the slate of the same user before, in order of (timestamp, slate_id)."""
    order = pc.sort_indices(slates, [("timestamp", "ascending"), ("slate_id", "ascending")]).to_pylist()
    users = slates["user_id"].to_pylist()
    previous, last = np.full(len(users), -1), dict[str, int]()
    for row in order:
        previous[row] = last.get(users[row], -1)
        last[users[row]] = row
    return previous
