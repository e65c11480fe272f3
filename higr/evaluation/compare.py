"""Means and paired differences over users and training runs.

    summary([run_of_seed_0, run_of_seed_1, run_of_seed_2])["ndcg@5"]        # Interval
    compare(higr_runs, {"onerec": onerec_runs, "sasrec": sasrec_runs})      # rival, metric: Difference

A run is `Measured`. All runs must be of the same test slates. A model without randomness is one run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from higr.errors import InputError
from higr.evaluation.bootstrap import Interval, interval, resampled_means, resampled_runs
from higr.evaluation.measured import Measured
from higr.evaluation.permutation import holm, sign_flip


class Difference(Interval):
    """One model minus another, on the slates for which the metric is defined for both.

    Users are drawn once for both; runs for each model by itself, since run i of one has nothing to do
    with run i of the other. `seeds` is the smaller number of runs.

    The p-value of one run against one is that of the sign flip over users: it is about these two sets of
    weights. Users alone would call two methods different because two trainings came out differently, so
    with several runs it is at least twice the share of resamples, of users and runs, beyond 0.
    """

    p_value: float = Field(description="two-sided; over users, and over runs where there are several")
    p_adjusted: float = Field(description="the same after Holm's correction over the rivals of a table")
    ratio: Interval | None = Field(description="model over the other; None where the other may be 0 or less")


@dataclass(frozen=True)
class Protocol:
    """How sure is sure: the fields of `EvaluationConfig`, and the seed of every draw."""

    resamples: int = 1000
    permutations: int = 10_000
    confidence: float = 0.95
    seed: int = 0


PROTOCOL = Protocol()


def summary(runs: Sequence[Measured], protocol: Protocol = PROTOCOL) -> dict[str, Interval]:
    """Metric to mean and interval over the users and the runs of one model.

    Metrics that are defined for no slate are left out.

    Raises:
        InputError: no run, or runs of other slates or with other metrics.
    """
    _check(runs)
    values, metrics = _stack(runs)  # (E, S, J)
    means = resampled_runs(_resampled(values, runs[0].users, protocol), protocol.seed)  # (R, J)
    defined = ~np.isnan(values).any(axis=0)
    centre = np.nanmean(values, axis=1).mean(axis=0)
    return {
        metric: interval(
            float(centre[j]), means[:, j], int(defined[:, j].sum()), protocol.confidence, len(runs)
        )
        for j, metric in enumerate(metrics)
    }


def paired(
    left: Sequence[Measured], right: Sequence[Measured], protocol: Protocol = PROTOCOL
) -> dict[str, Difference]:
    """Metric to left minus right, with its interval, its p-value and the ratio of the means.

    Raises:
        InputError: a side without runs, or runs of other slates or with other metrics.
    """
    runs, first = [*left, *right], len(left)
    if not left or not right:
        raise InputError(f"evaluation: {len(left)} runs against {len(right)}; give at least one each")
    _check(runs)
    values, metrics = _stack(runs)
    values = np.where(np.isnan(values).any(axis=0), np.nan, values)
    kept = ~np.isnan(values[0]).all(axis=0)
    values, metrics = values[:, :, kept], [metrics[j] for j in np.flatnonzero(kept)]
    if not metrics:
        return {}
    by_run = _resampled(values, runs[0].users, protocol)  # (R, E, J)
    ours = resampled_runs(by_run[:, :first], protocol.seed)
    theirs = resampled_runs(by_run[:, first:], protocol.seed + 1)
    a, b = (np.nanmean(side, axis=1).mean(axis=0) for side in (values[:first], values[first:]))  # (J,)
    slatewise = values[:first].mean(axis=0) - values[first:].mean(axis=0)  # (S, J)
    p_values = sign_flip(slatewise, runs[0].users, protocol.permutations, protocol.seed)
    if len(runs) > 2:
        p_values = np.maximum(p_values, _beyond_zero(ours - theirs))
    count, seeds = (~np.isnan(slatewise)).sum(axis=0), min(first, len(right))
    result = {}
    for j, metric in enumerate(metrics):
        level = (int(count[j]), protocol.confidence, seeds)
        ratio = None
        if b[j] > 0 and np.nanmin(theirs[:, j]) > 0:
            ratio = interval(float(a[j] / b[j]), ours[:, j] / theirs[:, j], *level)
        difference = interval(float(a[j] - b[j]), ours[:, j] - theirs[:, j], *level)
        p_value = float(p_values[j])
        result[metric] = Difference(
            **difference.model_dump(), p_value=p_value, p_adjusted=p_value, ratio=ratio
        )
    return result


def compare(
    subject: Sequence[Measured], rivals: Mapping[str, Sequence[Measured]], protocol: Protocol = PROTOCOL
) -> dict[str, dict[str, Difference]]:
    """Rival, metric: subject minus rival; p-values of a metric corrected over the rivals.

    Raises:
        InputError: as `paired`.
    """
    table = {rival: paired(subject, runs, protocol) for rival, runs in rivals.items()}
    for metric in {metric: None for row in table.values() for metric in row}:
        cells = [(row, row[metric]) for row in table.values() if metric in row]
        adjusted = holm([cell.p_value for _, cell in cells])
        for (row, cell), p_value in zip(cells, adjusted, strict=True):
            row[metric] = cell.model_copy(update={"p_adjusted": p_value})
    return table


def _beyond_zero(differences: np.ndarray) -> np.ndarray:
    """(J,) p-values that (R, J) resampled differences give: above 0.05 where the 95 % interval holds 0."""
    known = np.maximum((~np.isnan(differences)).sum(axis=0), 1)
    side = np.minimum((differences <= 0).sum(axis=0), (differences >= 0).sum(axis=0))
    return np.asarray(np.minimum(2 * (side + 1) / (known + 1), 1.0))


def _check(runs: Sequence[Measured]) -> None:
    if not runs:
        raise InputError("evaluation: no run to summarise; give at least one")
    first = runs[0]
    for number, run in enumerate(runs[1:], start=1):
        if not np.array_equal(run.slates, first.slates):
            shared = len(np.intersect1d(run.slates, first.slates))
            raise InputError(
                f"evaluation: run {number} is of {len(run.slates)} slates and run 0 of {len(first.slates)}, "
                f"{shared} of them the same; measure all models on one test set, drawn with one seed"
            )
        if run.values.keys() != first.values.keys():
            other = sorted(run.values.keys() ^ first.values.keys())
            raise InputError(
                f"evaluation: run {number} and run 0 do not both have {', '.join(other)}; measure with the "
                "same cut-off, catalogue and training data"
            )


def _stack(runs: Sequence[Measured]) -> tuple[np.ndarray, list[str]]:
    """(E, S, J) values of the J metrics that every run has somewhere."""
    metrics = [
        metric for metric in runs[0].values if all((~np.isnan(run.values[metric])).any() for run in runs)
    ]
    values = [
        np.stack([run.values[metric] for metric in metrics], axis=1)
        if metrics
        else np.empty((len(run.slates), 0))
        for run in runs
    ]
    return np.stack(values), metrics


def _resampled(values: np.ndarray, users: np.ndarray, protocol: Protocol) -> np.ndarray:
    """(R, E, J) means over resampled users, the same users for every run and metric."""
    runs, slates, metrics = values.shape
    columns = values.transpose(1, 0, 2).reshape(slates, runs * metrics)
    means = resampled_means(columns, users, protocol.resamples, protocol.seed)
    return means.reshape(-1, runs, metrics)
