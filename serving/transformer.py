"""The transformer: request in, slates out, within the deadline, whatever happens behind it.

1. contexts: from the request, else from the feature store, else empty (`degraded`)
2. slates: from the predictor, else down the ladder
3. answer, counted and logged

This module knows no server: `serving.server` puts it behind KServe.
"""

import asyncio
import hashlib
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
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
from serving.logs import RowSink
from serving.metrics import Metrics
from serving.policy import Policy
from serving.prediction_row import prediction_row
from serving.schemas import Instance, Prediction, PredictRequest, PredictResponse, Removed, check_sizes
from serving.served import Served
from serving.steps import Steps
from serving.switch import Switch
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
class Job:
    """An instance on its way: what is known of its user, and what the predictor is asked."""

    instance: Instance
    request_id: str
    known: Known
    ask: Ask


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of asking the predictor for one slate.

    Attributes:
        kept: what of it can be shown; None: nothing, for `reason`.
        made: as it came, where it has no fault: up to `Ask.spare` items longer, not yet held to the policy.
        version: of the bundle that made it.
    """

    reason: str | None
    kept: Slate | None = None
    made: Slate | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """A request that has its slates; one element an instance.

    Attributes:
        tried: what the predictor did.
        answers: with the version of the bundle that made each.
    """

    served: Served
    policy: Policy
    jobs: Sequence[Job]
    tried: Sequence[Tried]
    answers: Sequence[tuple[Answer, str]]

    def prediction(self, row: int, explain: bool) -> Prediction:
        """What the client is told of one of them."""
        job, (answer, version) = self.jobs[row], self.answers[row]
        return Prediction(
            request_id=job.request_id,
            user_id=job.instance.user_id,
            items=self.served.shelf.items(answer.slate, job.ask),
            source=answer.source,
            fallback_reason=answer.reason,
            degraded=job.known.degraded is not None,
            model_version=version,
            removed=_removed(self.policy, job.ask) if explain else None,
        )


class Transformer:
    """What a client of the endpoint talks to.

    Args:
        served: the bundle of a request that begins now.
        deadline: seconds a request may take.
        crowd: requests on their way at once. Who comes on top of them gets popular items, for neither
            features nor the incumbent could be had in time, and trying would make all of them late.
        disabled: items that are not shown now, whatever the bundle says.
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
        log: RowSink | None,
        explore: ExploreConfig,
        breaker: Breaker | None = None,
        disabled: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._served, self._features, self.deadline = served, features, deadline
        self._crowd, self._in_flight = crowd, 0
        self._explore, self._breaker = explore, breaker or Breaker()
        self._switch, self._metrics, self._log = switch, metrics, log
        self._disabled = disabled

    async def answer(self, request: PredictRequest) -> PredictResponse:
        """One prediction an instance, in order.

        Raises:
            RequestError: a slate longer than the bundle can plan.
        """
        steps = Steps(self._metrics)
        work = await self.work(request, steps)
        seconds = steps.passed
        return PredictResponse(
            predictions=[self._finish(work, row, steps.seconds, seconds) for row in range(len(work.jobs))]
        )

    async def work(self, request: PredictRequest, steps: Steps) -> Work:
        """The slates of a request, of which nobody is told yet.

        Raises:
            RequestError: a slate longer than the bundle can plan.
        """
        self._in_flight += 1
        try:
            return await self._work(request, steps, crowded=self._in_flight > self._crowd)
        finally:
            self._in_flight -= 1

    async def _work(self, request: PredictRequest, steps: Steps, crowded: bool) -> Work:
        served = self._served()
        policy = served.policy.policy
        jobs = await self._jobs(request.instances, served, policy, steps, crowded)
        asks = [job.ask for job in jobs]
        if crowded:
            popular = [Answer(served.ladder.most_popular(ask), "popular", "overloaded") for ask in asks]
            answers = [(answer, served.version) for answer in popular]
            return Work(served, policy, jobs, [Tried("overloaded")] * len(asks), answers)
        tried = [Tried("switch")] * len(asks)
        if self._switch.position != "baseline":
            tried = await self.tried(asks, served, steps)
        return Work(served, policy, jobs, tried, await self._answers(asks, tried, served, steps))

    async def _jobs(
        self, instances: Sequence[Instance], served: Served, policy: Policy, steps: Steps, crowded: bool
    ) -> list[Job]:
        sizes = [instance.slate_size or served.slate_size for instance in instances]
        check_sizes(sizes, served.max_slate_size)
        known = await self._contexts(instances, steps, crowded)
        now = datetime.now(UTC)
        eligible, disabled = served.shelf.eligible_ids, self._disabled()
        jobs = []
        for instance, size, found in zip(instances, sizes, known, strict=True):
            context, request_id = found.context, instance.request_id or uuid.uuid4().hex
            decision = policy.decide({**context.profile, **context.situation}, now)
            excluded = _excluded(instance, found, size, eligible, decision, disabled)
            ask = Ask(
                context,
                size,
                excluded,
                decision,
                pinned=decision.sold(size, excluded, eligible),
                spare=0 if decision.per_creator is None else min(SPARE, served.max_slate_size - size),
                sampling=_sampling(self._explore, request_id),
            )
            jobs.append(Job(instance, request_id, found, ask))
        return jobs

    async def _contexts(self, instances: Sequence[Instance], steps: Steps, crowded: bool) -> list[Known]:
        given = {
            row: Known(instance.context.user_context(instance.user_id))
            for row, instance in enumerate(instances)
            if instance.context is not None
        }
        wanted = [row for row in range(len(instances)) if row not in given]
        if crowded:
            given.update({row: Known(UserContext(instances[row].user_id), "overloaded") for row in wanted})
        elif wanted:
            with steps.step("features"):
                read = await self._features.read(
                    [instances[row].user_id for row in wanted], self.deadline * FEATURES_SHARE
                )
            given.update(zip(wanted, read, strict=True))
        now = datetime.now(UTC)
        return [given[row].at(situation_of(now, instance.surface)) for row, instance in enumerate(instances)]

    async def _answers(
        self, asks: Sequence[Ask], tried: Sequence[Tried], served: Served, steps: Steps
    ) -> list[tuple[Answer, str]]:
        """What the predictor made, else what the ladder has."""
        fallen: Iterator[Answer] = iter(())
        failed = [row for row, attempt in enumerate(tried) if attempt.kept is None]
        if failed:
            left = max(0.0, self.deadline - steps.passed)
            reasons = [tried[row].reason or "" for row in failed]
            with steps.step("baseline"):
                fallen = iter(await served.ladder.fall([asks[row] for row in failed], reasons, left))
        return [
            (next(fallen), served.version)
            if attempt.kept is None
            else (Answer(attempt.kept, "higr", None), attempt.version)
            for attempt in tried
        ]

    async def tried(self, asks: Sequence[Ask], served: Served, steps: Steps) -> list[Tried]:
        """Asks the predictor, whatever the switch says, and looks at what it made."""
        seconds = self.deadline * (1 - FALLBACK_SHARE) - steps.passed
        overrun = self.deadline * OVERRUN_SHARE
        try:
            with steps.step("predictor"), self._breaker.attempt():
                made = await asyncio.wait_for(
                    served.predictor.make(asks, max(seconds, 0.001)), seconds + overrun
                )
                if _is_late(made):
                    raise TimeoutError
        except BreakerOpen:
            return [Tried("breaker")] * len(asks)
        except TimeoutError:
            return [Tried("deadline")] * len(asks)
        except ConnectionError:
            return [Tried("unreachable")] * len(asks)
        except Exception as error:
            # A predictor may fail in any way; each way ends in a slate and is counted by its reason.
            logger.warning("event=predictor_failed error=%s", type(error).__name__)
            return [Tried("predictor_error")] * len(asks)
        if not isinstance(made.slates, Sequence) or len(made.slates) != len(asks):
            logger.warning("event=invalid_slate fault='not one slate an ask' asks=%d", len(asks))
            return [Tried("invalid_slate")] * len(asks)
        return [
            _looked_at(slate, ask, served, made.model_version)
            for slate, ask in zip(made.slates, asks, strict=True)
        ]

    def _show_variety(self, prediction: Prediction) -> None:
        if len(prediction.items) > 1:
            for metric, value in (
                (names.CATEGORY_DIVERSITY, category_diversity(prediction.items)),
                (names.PREFIX_SHARE, prefix_share(prediction.items)),
            ):
                self._metrics.observe(metric, value, prediction.source)

    def _finish(self, work: Work, row: int, steps: Mapping[str, float], seconds: float) -> Prediction:
        job, (answer, version) = work.jobs[row], work.answers[row]
        prediction = work.prediction(row, job.instance.explain)
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
            try:
                context = job.known.context
                self._log.append(
                    prediction_row(prediction, answer.slate, job.instance, context, steps, seconds)
                )
            except Exception as error:
                # The user's slate is made: what is odd in a context or a sink costs a row, not the answer.
                logger.error("event=prediction_log_failed what=row error=%s", type(error).__name__)
                self._metrics.count(names.LOG_DROPPED, "predictions")
        return prediction


def _sampling(explore: ExploreConfig, request_id: str) -> Sampling | None:
    """How one request explores: the same id gives the same draws."""
    if not explore.share:
        return None
    seed = int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=7).digest())
    return Sampling(explore.share, explore.temperature, seed=seed)


def _looked_at(slate: Slate | Refused, ask: Ask, served: Served, version: str) -> Tried:
    if isinstance(slate, Refused):
        return Tried(slate.reason)
    fault = served.ladder.fault(slate, ask, ask.slate_size + ask.spare)
    if fault is not None:
        logger.warning("event=invalid_slate fault=%r", fault)
        return Tried("invalid_slate")
    kept = served.ladder.kept(slate, ask)
    return Tried("policy" if kept is None else None, kept, slate, version)


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
    instance: Instance,
    known: Known,
    size: int,
    eligible: Set[str],
    decision: Decision,
    disabled: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """What this request leaves out.

    Seen items are left out as long as the others fill the slate; else just enough of them come back,
    those first whose last sight is longest ago. What the client excluded never does, nor what the policy
    blocks or what is disabled.
    """
    excluded = disabled.union(instance.constraints.exclude_items)
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
