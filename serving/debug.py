"""`POST /debug/slate`: the answer, and what a developer needs to see why it is that one.

The answer is made by the code that makes every answer. Beside it each rung is asked for the same request.
Nobody is shown any of it, so none of it is counted as a slate or goes to the prediction log.
"""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from higr.slate import Slate
from serving.ask import Ask
from serving.debug_schemas import DebugResponse, DebugSlate, Rung, Rungs
from serving.debug_views import context_of, decision_of, exclusions_of
from serving.schemas import PredictRequest, parse
from serving.served import Served
from serving.steps import Steps
from serving.transformer import Transformer, Tried, Work

PRIVATE = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of what only the page of this server may read, and nobody may keep."""


def debug_router(transformer: Transformer) -> APIRouter:
    """The endpoint; it takes what `:predict` takes."""
    router = APIRouter()

    @router.post("/debug/slate")
    async def slate(request: Request) -> Response:
        made = await examine(transformer, parse(PredictRequest, await request.body()))
        return Response(made.model_dump_json(), media_type="application/json", headers=PRIVATE)

    return router


async def examine(transformer: Transformer, request: PredictRequest) -> DebugResponse:
    """Each slate of a request, and how it came about.

    Raises:
        RequestError: a slate longer than the bundle can plan.
    """
    steps = Steps()
    work = await transformer.work(request, steps)
    steps.seconds["total"] = steps.passed
    free = await _free(transformer, work)
    rungs = await _rungs(transformer, work, free)
    slates = [
        DebugSlate(
            answer=work.prediction(row, explain=True),
            context=context_of(job, work.served.shelf),
            exclusions=exclusions_of(job),
            decision=decision_of(job, work.policy, free[row].kept if row in free else None),
            rungs=rungs[row],
            steps_ms={step: round(seconds * 1000, 2) for step, seconds in steps.seconds.items()},
        )
        for row, job in enumerate(work.jobs)
    ]
    return DebugResponse(slates=slates)


async def _free(transformer: Transformer, work: Work) -> dict[int, Tried]:
    """By row, what HiGR makes of a request that the policy restricts, as if there were none."""
    rows = [row for row, job in enumerate(work.jobs) if job.ask.decision.restricts]
    if not rows:
        return {}
    asks = [work.jobs[row].ask.without_policy() for row in rows]
    return dict(zip(rows, await transformer.tried(asks, work.served, Steps()), strict=True))


async def _rungs(transformer: Transformer, work: Work, free: dict[int, Tried]) -> list[Rungs]:
    asks, served = [job.ask for job in work.jobs], work.served
    higr = work.tried
    if any(attempt.reason == "switch" for attempt in higr):  # then it was not asked at all
        higr = await transformer.tried(asks, served, Steps())
    ranked = await served.ladder.fall(asks, ["asked"] * len(asks), transformer.deadline)
    return [
        Rungs(
            higr=_rung(served, ask, higr[row].kept, higr[row].reason),
            higr_made=_rung(served, ask, higr[row].made, None).items,
            higr_without_policy=(
                _rung(served, ask.without_policy(), free[row].kept, free[row].reason) if row in free else None
            ),
            baseline=_rung(served, ask, answer.slate if answer.source == "baseline" else None, "failed"),
            popular=_rung(served, ask, served.ladder.most_popular(ask), None),
        )
        for row, (ask, answer) in enumerate(zip(asks, ranked, strict=True))
    ]


def _rung(served: Served, ask: Ask, slate: Slate | None, reason: str | None) -> Rung:
    if slate is None:
        return Rung(items=None, reason=reason)
    return Rung(items=served.shelf.items(slate, ask))
