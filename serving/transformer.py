"""The transformer: request in, slates out, within the deadline, whatever happens behind it.

1. contexts: from the request, else from the feature store, else empty (`degraded`)
2. slates: from the predictor, else down the ladder
3. answer, counted and logged

This module knows no server: `serving.server` puts it behind KServe.
"""

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry import trace

from higr import metrics as names
from higr.data.situation import situation_of
from higr.decode.sampling import Sampling
from higr.slate import Slate, UserContext
from serving.ask import Ask, Made, Refused
from serving.breaker import Breaker, BreakerOpen
from serving.config import ExploreConfig
from serving.decision import Decision
from serving.fallback import Answer
from serving.features import Features, Known
from serving.metrics import Metrics
from serving.policy import Policy
from serving.prediction_log import PredictionLog
from serving.schemas import Instance, Prediction, PredictRequest, PredictResponse, Removed, check_sizes
from serving.served import Served
from serving.switch import Switch
from serving.traces import span
from serving.variety import category_diversity, prefix_share

logger = logging.getLogger("higr.serving")

FEATURES_SHARE = 0.2
"""Of the deadline: longest wait for features."""
FALLBACK_SHARE = 0.25
"""Of the deadline: kept for the ladder when the predictor has used up its own."""
SPARE = 5
"""Items that the decoder is asked for beyond the slate where the policy caps creators, of whom it knows
nothing: as many may fall to the cap."""
OVERRUN_SHARE = 0.02
"""Of the deadline: a predictor that is still silent so long after its time is given up. Without it the slates
of a batch would be lost with the one that was late."""


@dataclass(frozen=True, slots=True)
class _Job:
    """An instance on its way: what is known of its user, and what the predictor is asked."""

    instance: Instance
    request_id: str
    known: Known
    ask: Ask


class Transformer:
    """What a client of the endpoint talks to.

    Args:
        served: the bundle of a request that begins now.
        deadline: seconds a request may take.
        crowd: requests on their way at once. Who comes on top of them gets popular items, for neither
            features nor the incumbent could be had in time, and trying would make all of them late.
    """

    def __init__(
        self,
        *,
        served: Callable[[], Served],
        deadline: float,
        crowd: int,
        features: Features,
        switch: Switch,
        metrics: Metrics,
        log: PredictionLog | None,
        explore: ExploreConfig,
        breaker: Breaker | None = None,
    ) -> None:
        self._served, self._deadline, self._features = served, deadline, features
        self._crowd, self._in_flight = crowd, 0
        self._explore, self._breaker = explore, breaker or Breaker()
        self._switch, self._metrics, self._log = switch, metrics, log

    async def answer(self, request: PredictRequest) -> PredictResponse:
        """One prediction an instance, in order.

        Raises:
            RequestError: a slate longer than the bundle can plan.
        """
        self._in_flight += 1
        try:
            return await self._answer(request, crowded=self._in_flight > self._crowd)
        finally:
            self._in_flight -= 1

    async def _answer(self, request: PredictRequest, crowded: bool) -> PredictResponse:
        started = time.perf_counter()
        served = self._served()
        policy = served.policy.policy
        jobs = await self._jobs(request.instances, served, policy, crowded)
        asks = [job.ask for job in jobs]
        if crowded:
            made = [
                (Answer(served.ladder.most_popular(ask), "popular", "overloaded"), served.version)
                for ask in asks
            ]
        else:
            made = await self._slates(asks, served, started)
        seconds = time.perf_counter() - started
        predictions = [
            self._finish(job, answer, version, served, policy, seconds)
            for job, (answer, version) in zip(jobs, made, strict=True)
        ]
        return PredictResponse(predictions=predictions)

    async def _jobs(
        self, instances: Sequence[Instance], served: Served, policy: Policy, crowded: bool
    ) -> list[_Job]:
        sizes = [instance.slate_size or served.slate_size for instance in instances]
        check_sizes(sizes, served.max_slate_size)
        known = await self._contexts(instances, crowded)
        now = datetime.now(UTC)
        eligible = served.shelf.eligible_ids
        jobs = []
        for instance, size, found in zip(instances, sizes, known, strict=True):
            context, request_id = found.context, instance.request_id or uuid.uuid4().hex
            decision = policy.decide({**context.profile, **context.situation}, now)
            excluded = _excluded(instance, found, size, eligible, decision)
            ask = Ask(
                context,
                size,
                excluded,
                decision,
                pinned=decision.sold(size, excluded, eligible),
                spare=0 if decision.per_creator is None else min(SPARE, served.max_slate_size - size),
                sampling=_sampling(self._explore, request_id),
            )
            jobs.append(_Job(instance, request_id, found, ask))
        return jobs

    async def _contexts(self, instances: Sequence[Instance], crowded: bool) -> list[Known]:
        given = {
            row: Known(instance.context.user_context(instance.user_id))
            for row, instance in enumerate(instances)
            if instance.context is not None
        }
        wanted = [row for row in range(len(instances)) if row not in given]
        if crowded:
            given.update({row: Known(UserContext(instances[row].user_id), "overloaded") for row in wanted})
        elif wanted:
            with self._step("features"):
                read = await self._features.read(
                    [instances[row].user_id for row in wanted], self._deadline * FEATURES_SHARE
                )
            given.update(zip(wanted, read, strict=True))
        now = datetime.now(UTC)
        return [given[row].at(situation_of(now, instance.surface)) for row, instance in enumerate(instances)]

    async def _slates(self, asks: Sequence[Ask], served: Served, started: float) -> list[tuple[Answer, str]]:
        """An answer an ask, with the version of the bundle it came from."""
        answers: list[tuple[Answer, str] | None] = [None] * len(asks)
        reasons = ["switch"] * len(asks)
        if self._switch.position != "baseline":
            with self._step("predictor"):
                answers, reasons = await self._predicted(asks, served, started)
        failed = [row for row, answer in enumerate(answers) if answer is None]
        if failed:
            left = max(0.0, started + self._deadline - time.perf_counter())
            with self._step("baseline"):
                fallen = await served.ladder.fall(
                    [asks[r] for r in failed], [reasons[r] for r in failed], left
                )
            for row, answer in zip(failed, fallen, strict=True):
                answers[row] = (answer, served.version)
        return [answer for answer in answers if answer is not None]

    async def _predicted(
        self, asks: Sequence[Ask], served: Served, started: float
    ) -> tuple[list[tuple[Answer, str] | None], list[str]]:
        """What HiGR made and can be shown; where there is nothing, the reason."""
        seconds = started + self._deadline * (1 - FALLBACK_SHARE) - time.perf_counter()
        overrun = self._deadline * OVERRUN_SHARE
        nothing: list[tuple[Answer, str] | None] = [None] * len(asks)
        try:
            with self._breaker.attempt():
                made = await asyncio.wait_for(
                    served.predictor.make(asks, max(seconds, 0.001)), seconds + overrun
                )
                if _is_late(made):
                    raise TimeoutError
        except BreakerOpen:
            return nothing, ["breaker"] * len(asks)
        except TimeoutError:
            return nothing, ["deadline"] * len(asks)
        except ConnectionError:
            return nothing, ["unreachable"] * len(asks)
        except Exception as error:
            # A predictor may fail in any way; each way ends in a slate and is counted by its reason.
            logger.warning("event=predictor_failed error=%s", type(error).__name__)
            return nothing, ["predictor_error"] * len(asks)
        if not isinstance(made.slates, Sequence) or len(made.slates) != len(asks):
            logger.warning("event=invalid_slate fault='not one slate an ask' asks=%d", len(asks))
            return nothing, ["invalid_slate"] * len(asks)
        answers, reasons = list(nothing), ["invalid_slate"] * len(asks)
        for row, (slate, ask) in enumerate(zip(made.slates, asks, strict=True)):
            if isinstance(slate, Refused):
                reasons[row] = slate.reason
                continue
            fault = served.ladder.fault(slate, ask, ask.slate_size + ask.spare)
            if fault is not None:
                logger.warning("event=invalid_slate fault=%r", fault)
                continue
            kept = served.ladder.kept(slate, ask)
            if kept is None:
                reasons[row] = "policy"
            else:
                answers[row] = (Answer(kept, "higr", None), made.model_version)
        return answers, reasons

    def _show_variety(self, prediction: Prediction) -> None:
        if len(prediction.items) > 1:
            for metric, value in (
                (names.CATEGORY_DIVERSITY, category_diversity(prediction.items)),
                (names.PREFIX_SHARE, prefix_share(prediction.items)),
            ):
                self._metrics.observe(metric, value, prediction.source)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """A step of a request, timed and traced."""
        begun = time.perf_counter()
        with span(name):
            try:
                yield
            finally:
                self._metrics.observe(names.STEP_SECONDS, time.perf_counter() - begun, name)

    def _finish(
        self, job: _Job, answer: Answer, version: str, served: Served, policy: Policy, seconds: float
    ) -> Prediction:
        prediction = Prediction(
            request_id=job.request_id,
            user_id=job.instance.user_id,
            items=served.shelf.items(answer.slate, job.ask),
            source=answer.source,
            fallback_reason=answer.reason,
            degraded=job.known.degraded is not None,
            model_version=version,
            removed=_removed(policy, job.ask) if job.instance.explain else None,
        )
        self._metrics.count(names.SLATES, answer.source, answer.reason or "")
        trace.get_current_span().add_event(
            "slate", {"source": answer.source, "reason": answer.reason or "", "model_version": version}
        )
        if len(prediction.items) < job.ask.slate_size:
            self._metrics.count(names.SHORT, "short" if prediction.items else "empty")
        self._show_variety(prediction)
        self._metrics.observe(names.REQUEST_SECONDS, seconds, answer.source)
        if job.known.degraded is not None:
            self._metrics.count(names.DEGRADED, job.known.degraded)
        if self._log is not None:
            self._log.append(_row(prediction, answer.slate, len(job.known.context.item_ids), seconds))
        return prediction


def _sampling(explore: ExploreConfig, request_id: str) -> Sampling | None:
    """How one request explores: the same id gives the same draws."""
    if not explore.share:
        return None
    seed = int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=7).digest())
    return Sampling(explore.share, explore.temperature, seed=seed)


def _is_late(made: Made) -> bool:
    """Whether every ask was given up for its deadline: as bad a sign as silence."""
    slates = made.slates if isinstance(made.slates, Sequence) else ()
    late = [isinstance(slate, Refused) and slate.reason == "deadline" for slate in slates]
    return bool(late) and all(late)


def _removed(policy: Policy, ask: Ask) -> list[Removed]:
    return [
        Removed(rule=rule, items=count, examples=examples)
        for rule, count, examples in policy.explain(ask.decision)
    ]


def _excluded(
    instance: Instance, known: Known, size: int, eligible: Set[str], decision: Decision
) -> frozenset[str]:
    """What this request leaves out.

    Seen items are left out as long as the others fill the slate; else just enough of them come back,
    those first whose last sight is longest ago. What the client excluded never does, nor what the policy
    blocks.
    """
    excluded = frozenset(instance.constraints.exclude_items)
    if not instance.constraints.exclude_seen:
        return excluded
    allowed = len(eligible) if decision.popular is None else len(decision.popular)

    def shown(item: str) -> bool:
        return item in eligible and item not in decision.blocked

    # By the last time each was seen: latest first, then turned around.
    newest_first = dict.fromkeys(reversed(known.context.item_ids))
    seen = [item for item in reversed(newest_first) if shown(item) and item not in excluded]
    unseen = allowed - sum(shown(item) for item in excluded) - len(seen)
    return excluded.union(known.context.item_ids).difference(seen[: max(0, size - unseen)])


def _row(prediction: Prediction, slate: Slate, history_length: int, seconds: float) -> dict[str, object]:
    """As `higr.data.logs.PREDICTIONS` has it."""
    return {
        "request_id": prediction.request_id,
        "timestamp": datetime.now(UTC),
        "user_id": prediction.user_id,
        "source": prediction.source,
        "fallback_reason": prediction.fallback_reason,
        "model_version": prediction.model_version,
        "item_ids": [item.item_id for item in prediction.items],
        "scores": [item.score for item in prediction.items],
        "semantic_ids": [item.semantic_id for item in prediction.items],
        "history_length": history_length,
        "degraded": prediction.degraded,
        "latency_ms": seconds * 1000,
        "propensities": list(slate.propensities) or None,
    }
