"""What alignment may not break: measured on validation slates, against the model it started from.

    loss        negative log-likelihood a code of the positives, teacher forced
    hit@5       effective-view Hit@5 of decoded slates       higr.evaluation
    diversity@5 intra-list diversity of decoded slates       higr.evaluation
    distance    KL divergence from the start, nats a code    higr.align.distance

Preference losses compare two slates, so they can be driven down while the likelihood of both falls, and
what is decoded with it (arXiv 2402.13228). How it is measured, and all limits, are not reported by the paper.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from higr.align.distance import Start
from higr.catalog import Catalog
from higr.config import EvaluationConfig, GuardConfig, RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.decode.recommender import HiGRRecommender
from higr.errors import InputError
from higr.evaluation.held_out import HeldOut
from higr.model.higr import HiGR
from higr.model.inputs import encode_contexts
from higr.training.examples import Examples
from higr.training.targets import PADDING, build_targets
from higr.training.watch import Look

CUT_OFF = 5
BEAM_WIDTH = 4
"""Narrower than what serves: the start is decoded with it, too, and a check must be cheap."""
BATCH = 128
SURE = 2.0
"""Standard errors by which a drop must exceed its limit, so that few slates stop nothing by chance."""


@dataclass(frozen=True)
class _Measured:
    """Attributes:
    loss: negative log-likelihood a code.
    distance: from the start, nats a code.
    hits: (S,) effective-view hit, NaN where a slate has no engaged item.
    diversity: (S,) intra-list diversity, NaN where it is not defined.
    """

    loss: float
    distance: float
    hits: np.ndarray
    diversity: np.ndarray


class Guard:
    """A `higr.training.watch.Watch` of one model.

    Args:
        model: what is judged; whoever trains puts its weights there.
        data: `align.guard.slates` of its validation slates are drawn.

    Raises:
        InputError: no validation slate has an engaged item of the catalogue.
    """

    def __init__(
        self, model: HiGR, data: PreparedData, history: HistoryIndex, catalog: Catalog, config: RunConfig
    ) -> None:
        self.model, self.codes, self.limits = model, catalog.code_tensor, config.align.guard
        self.k = min(CUT_OFF, model.config.max_slate_size)
        slates = _draw(data.split("validation"), self.limits.slates, config.seed)
        contexts = history.contexts(slates)
        training = config.training.model_copy(update={"pad_with_exposed": False, "min_engaged": 1})
        targets = build_targets(slates, catalog, training)
        if not len(targets):
            raise InputError(
                f"align.guard: none of {slates.num_rows} validation slates has an engaged item of the "
                "catalogue, so a collapse would go unseen; give later data, or set align.guard.slates to 0 "
                "to align without a guard"
            )
        self._positives = Examples(
            encode_contexts([contexts[i] for i in targets.rows], catalog, model.profiles, model.config),
            targets,
        )
        drawn = EvaluationConfig(k=self.k, max_slates=max(1, self.limits.slates))
        self._held_out = HeldOut.draw(slates, contexts, data.items, drawn, config.seed)
        self._recommender = HiGRRecommender(model, catalog, BEAM_WIDTH, data.disabled)
        self._start: tuple[_Measured, Start] | None = None

    @property
    def checks(self) -> int:
        return self.limits.checks

    @property
    def start_bytes(self) -> int:
        """Memory that stands in for a second model; 0 before `start`."""
        return 0 if self._start is None else self._start[1].bytes

    def start(self) -> Look:
        parts = [Start.of(log_probs) for log_probs, _ in self._next_codes()]
        kept = Start.concatenate(parts)
        measured = self._measure(kept)
        self._start = measured, kept
        return Look(self._figures(measured))

    def look(self) -> Look:
        if self._start is None:
            raise RuntimeError("start() measures what look() compares with; call it first")
        start, kept = self._start
        now = self._measure(kept)
        return Look(self._figures(now), judge(start, now, self.limits, self.k))

    def _figures(self, measured: _Measured) -> dict[str, float]:
        return {
            "loss": measured.loss,
            f"hit@{self.k}": _mean(measured.hits),
            f"diversity@{self.k}": _mean(measured.diversity),
            "distance": measured.distance,
        }

    def _measure(self, start: Start) -> _Measured:
        loss = distance = 0.0
        done = 0
        for log_probs, taken in self._next_codes():
            part = start[done : done + len(taken)]
            loss -= log_probs.gather(1, taken[:, None]).double().sum().item()
            distance += part.divergence(log_probs).double().sum().item()
            done += len(taken)
        values = self._held_out.measure(
            self._held_out.generate("aligned", self._recommender, self.k), self.k
        ).values
        return _Measured(
            loss / done,
            distance / done,
            values[f"effective_view_hit@{self.k}"],
            values[f"intra_list_diversity@{self.k}"],
        )

    @torch.no_grad()
    def _next_codes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Of every code of the positives, batch by batch: (T, K) log-probabilities and (T,) the code."""
        self.model.eval()
        for low in range(0, len(self._positives), BATCH):
            batch = self._positives[low : low + BATCH]
            items = batch.targets.items
            slates = self.codes[items.clamp(min=0)]  # (B, M, D)
            logits = self.model(batch.contexts, self.codes, slates)  # (B, M, D, K)
            present = items != PADDING  # (B, M)
            yield logits[present].flatten(0, 1).log_softmax(dim=1), slates[present].flatten()


def judge(start: _Measured, now: _Measured, limits: GuardConfig, k: int) -> str | None:
    """What is breached, in one line; None: nothing.

    Hits and diversity are compared slate by slate, and a drop counts less `SURE` standard errors.
    """
    found = []
    if not math.isfinite(now.loss + now.distance):
        found.append(f"loss is {now.loss} nats a code, distance from the start {now.distance}")
    rise = now.loss / start.loss - 1 if start.loss else 0.0
    if rise > limits.max_loss_rise:
        found.append(
            f"loss rose from {start.loss:.4g} to {now.loss:.4g} nats a code, by {rise:.0%} "
            f"(align.guard.max_loss_rise {limits.max_loss_rise:.0%})"
        )
    for name, before, after, field in (
        (f"hit@{k}", start.hits, now.hits, "max_hit_drop"),
        (f"diversity@{k}", start.diversity, now.diversity, "max_diversity_drop"),
    ):
        limit = getattr(limits, field)
        drop, sure = _drop(before, after)
        if sure > limit * _mean(before):
            found.append(
                f"{name} fell from {_mean(before):.4f} to {_mean(after):.4f}, by {drop / _mean(before):.0%} "
                f"(align.guard.{field} {limit:.0%})"
            )
    if now.distance > limits.max_distance:
        found.append(
            f"distance from the start is {now.distance:.4g} nats a code "
            f"(align.guard.max_distance {limits.max_distance:g})"
        )
    if not found:
        return None
    return "; ".join(found) + "; lower the learning rate or the weight of the preference, or raise the limit"


def _drop(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Mean drop over the slates that have both, and it less `SURE` standard errors; 0 without slates."""
    drops = (before - after)[np.isfinite(before) & np.isfinite(after)]
    if not len(drops):
        return 0.0, 0.0
    error = float(np.std(drops, ddof=1)) / len(drops) ** 0.5 if len(drops) > 1 else 0.0
    return float(np.mean(drops)), float(np.mean(drops)) - SURE * error


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.mean(known)) if len(known) else 0.0


def guard_figures(curve: Sequence[Mapping[str, Any]]) -> dict[str, float | int | str]:
    """Of a curve of `higr.training.loop.train`, for people and for KFP; nothing where there was no guard.

    guard_checks, guard_breached (0 or 1), guard_step (whose weights were kept), every figure at the start and
    at that step; where something was breached guard_message says what.
    """
    if "guard" not in curve[0]:
        return {}
    kept = [record for record in curve if record["best"]][-1]
    last = curve[-1]
    figures: dict[str, float | int | str] = {
        "guard_checks": len(curve) - 1,
        "guard_breached": int(bool(last["breach"])),
        "guard_step": kept["steps"],
    }
    for name, value in kept["guard"].items():
        figures |= {f"guard_{name}_at_start": curve[0]["guard"][name], f"guard_{name}": value}
    if last["breach"]:
        whose = f"those of step {kept['steps']}" if kept["steps"] else "those it started from"
        figures["guard_message"] = (
            f"alignment was stopped at step {last['steps']}: {last['breach']}; the weights are {whose}"
        )
    return figures


def _draw(slates: pa.Table, count: int, seed: int) -> pa.Table:
    if slates.num_rows <= count:
        return slates
    return slates.take(np.sort(np.random.default_rng(seed).choice(slates.num_rows, count, replace=False)))
