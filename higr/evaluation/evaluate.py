"""Every recommender on the same test slates, contexts and exclusions."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import EvaluationConfig
from higr.errors import HigrError, InputError
from higr.evaluation.bootstrap import Interval, interval, resampled_means
from higr.evaluation.examples import examples_of
from higr.evaluation.judge import Logged, slate_values
from higr.evaluation.metrics import catalogue_coverage
from higr.evaluation.results import Evaluation
from higr.slate import Recommender, Slate, UserContext

BATCH = 256
"""Contexts asked for at once."""

Progress = Callable[[str, int, int], None]
"""Called with the model, the slates done and the slates in all."""


def evaluate(
    recommenders: Mapping[str, Recommender],
    slates: pa.Table,
    contexts: Sequence[UserContext],
    items: pa.Table,
    config: EvaluationConfig,
    seed: int,
    *,
    reference: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure all models, and how each differs from `reference` (default: the first).

    Args:
        slates: test slates (`SLATES`); at most `config.max_slates` of them are drawn.
        contexts: what was known before each slate, one a slate.
        items: the catalogue (`ITEMS`).

    Raises:
        InputError: no model, no slate, not one context a slate, an unknown reference, or no engaged
            item in any slate.
        HigrError: a recommender broke its contract (duplicate, excluded, disabled or unknown item).
    """
    if not recommenders:
        raise InputError("evaluation: no model; give at least one")
    reference = reference if reference is not None else next(iter(recommenders))
    _check(recommenders, reference, slates.num_rows, len(contexts))
    rows = _draw(slates, config, seed)
    slates, contexts = slates.take(rows), [contexts[i] for i in rows]
    logged = Logged.of(slates)
    if not logged.relevant.any():
        raise InputError(
            f"evaluation: none of {slates.num_rows} test slates has an engaged item; "
            "check data.engagement (effective view) and data.test_start"
        )

    exclude = [frozenset(c.item_ids) if config.exclude_seen else frozenset() for c in contexts]
    category = _categories(items)
    generated = {
        name: _generate(name, recommender, contexts, exclude, config.k, category, progress)
        for name, recommender in recommenders.items()
    }
    measured = {
        name: slate_values(slates_of, logged, category, config.k) for name, slates_of in generated.items()
    }
    table = _Table(measured, slates["user_id"].to_pylist(), config, seed)
    return Evaluation(
        models=tuple(recommenders),
        reference=reference,
        metrics=table.metrics,
        values={name: table.row(name) for name in recommenders},
        differences={name: table.difference(name, reference) for name in recommenders if name != reference},
        coverage={name: _coverage(slates_of, category) for name, slates_of in generated.items()},
        slates=slates.num_rows,
        users=len(set(table.users)),
        k=config.k,
        confidence=config.confidence,
        resamples=config.bootstrap,
        exclude_seen=config.exclude_seen,
        seed=seed,
        examples=examples_of(generated, logged, slates, contexts, items, seed),
    )


class _Table:
    """Per-slate values of every model, and the resamples that all of them share."""

    def __init__(
        self,
        measured: Mapping[str, Mapping[str, np.ndarray]],
        users: Sequence[str],
        config: EvaluationConfig,
        seed: int,
    ) -> None:
        names = next(iter(measured.values()))
        self.metrics = tuple(
            metric for metric in names if all(_defined(row[metric]).any() for row in measured.values())
        )
        self.users = users
        self._confidence = config.confidence
        self._values = measured
        self._means = {
            name: resampled_means(
                np.column_stack([row[metric] for metric in self.metrics]), users, config.bootstrap, seed
            )
            for name, row in measured.items()
        }

    def row(self, name: str) -> dict[str, Interval]:
        """Mean and interval of each metric."""
        result = {}
        for column, metric in enumerate(self.metrics):
            values = self._values[name][metric]
            slates = int(_defined(values).sum())
            result[metric] = interval(
                float(np.nanmean(values)), self._means[name][:, column], slates, self._confidence
            )
        return result

    def difference(self, name: str, reference: str) -> dict[str, Interval]:
        """Model minus reference, resample by resample."""
        result = {}
        for column, metric in enumerate(self.metrics):
            left, right = self._values[name][metric], self._values[reference][metric]
            means = self._means[name][:, column] - self._means[reference][:, column]
            slates = int((_defined(left) & _defined(right)).sum())
            mean = float(np.nanmean(left) - np.nanmean(right))
            result[metric] = interval(mean, means, slates, self._confidence)
        return result


def _defined(values: np.ndarray) -> np.ndarray:
    return ~np.isnan(values)


def _check(models: Mapping[str, Recommender], reference: str, slates: int, contexts: int) -> None:
    if reference not in models:
        raise InputError(f"evaluation: reference {reference!r} is not among the models {list(models)}")
    if slates != contexts or not contexts:
        raise InputError(
            f"evaluation: {contexts} contexts for {slates} test slates; "
            "give one a slate, and at least one slate"
        )


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


def _categories(items: pa.Table) -> dict[str, int]:
    """Category code of every item that may be recommended."""
    active = items.filter(pc.fill_null(pc.not_equal(items["status"], "disabled"), True))
    codes = active["category"].combine_chunks().dictionary_encode().indices
    return dict(zip(active["item_id"].to_pylist(), codes.to_pylist(), strict=True))


def _generate(
    name: str,
    recommender: Recommender,
    contexts: Sequence[UserContext],
    exclude: Sequence[Collection[str]],
    k: int,
    allowed: Collection[str],
    progress: Progress | None,
) -> list[Slate]:
    """Slates of one model, each checked against the contract of `Recommender`."""
    slates: list[Slate] = []
    for low in range(0, len(contexts), BATCH):
        part = slice(low, low + BATCH)
        got = recommender.recommend(contexts[part], k, exclude[part])
        if len(got) != len(contexts[part]):
            raise HigrError(
                f"model {name!r} gave {len(got)} slates for {len(contexts[part])} contexts; give one each"
            )
        for slate, excluded in zip(got, exclude[part], strict=True):
            wrong = [item for item in slate.item_ids if item in excluded or item not in allowed]
            if wrong or len(set(slate.item_ids)) != len(slate.item_ids):
                reason = (
                    f"item {wrong[0]!r}, which is excluded, disabled or unknown" if wrong else "an item twice"
                )
                raise HigrError(f"model {name!r} recommended {reason}; its figures would mean nothing")
        slates.extend(got)
        if progress is not None:
            progress(name, len(slates), len(contexts))
    return slates


def _coverage(slates: Sequence[Slate], allowed: Collection[str]) -> float:
    position = {item: i for i, item in enumerate(allowed)}
    shown = [position[item] for slate in slates for item in slate.item_ids]
    return catalogue_coverage(np.array([shown], dtype=np.int64), len(position))
