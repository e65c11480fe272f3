"""A predictor at the end of a wire: KServe V1 over HTTP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import httpx

from higr.decode.sampling import Sampling
from higr.slate import Slate
from serving.ask import Ask, Made, Refused
from serving.policy import Policy
from serving.schemas import (
    Exploration,
    Pin,
    PredictorInstance,
    PredictorRequest,
    PredictorResponse,
    PredictorSlate,
    StoredContext,
)
from serving.traces import outgoing

PREDICTOR = "higr-predictor"
"""Name of the predictor's model where it runs apart from the transformer."""


class RemotePredictor:
    """Asks `http://HOST/v1/models/higr-predictor:predict`; connections are kept and made anew as needed.

    Args:
        host: `name`, `name:port` or a URL, as KServe gives it to a transformer.
        headers: sent with each request, as its token.
    """

    def __init__(self, host: str, headers: Callable[[], Mapping[str, str]] = dict) -> None:
        self._headers = headers
        base = host if "://" in host else f"http://{host}"
        self._url = f"{base.rstrip('/')}/v1/models/{PREDICTOR}:predict"
        # No proxies or certificates from the environment: the predictor is next door.
        self._client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=100))

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        body = PredictorRequest(
            instances=[instance_of(ask) for ask in asks], deadline_ms=seconds * 1000
        ).model_dump_json()
        try:
            # httpx's time-outs are per phase; the wait for the whole answer is bounded by the caller.
            headers = {"content-type": "application/json", **outgoing(), **self._headers()}
            answer = await self._client.post(self._url, content=body, headers=headers, timeout=seconds)
        except httpx.TimeoutException as error:
            raise TimeoutError(type(error).__name__) from None
        except httpx.TransportError as error:
            raise ConnectionError(type(error).__name__) from None
        if answer.status_code == 504:
            raise TimeoutError("the predictor's own deadline")
        answer.raise_for_status()
        parsed = PredictorResponse.model_validate_json(answer.content)
        return Made([_slate(prediction) for prediction in parsed.predictions], parsed.model_version)


def _slate(answer: PredictorSlate) -> Slate | Refused:
    if answer.refused is not None:
        return Refused(answer.refused)
    codes = tuple(tuple(codes) for codes in answer.semantic_ids)
    return Slate(tuple(answer.item_ids), tuple(answer.scores), codes, tuple(answer.propensities))


def instance_of(ask: Ask) -> PredictorInstance:
    """What is sent."""
    context = ask.context
    return PredictorInstance(
        user_id=context.user_id,
        slate_size=ask.slate_size + ask.spare,
        context=StoredContext(
            item_ids=list(context.item_ids),
            feedback=[int(level) for level in context.feedback],
            profile=dict(context.profile),
            situation=dict(context.situation),
        ),
        exclude_items=sorted(ask.exclude),
        rules=list(ask.decision.rules),
        per_category=ask.decision.per_category,
        pinned=[Pin(position=position, item_id=item) for position, item in ask.pinned.items()],
        exploration=None
        if ask.sampling is None
        else Exploration(
            share=ask.sampling.share, temperature=ask.sampling.temperature, seed=ask.sampling.seed
        ),
    )


def ask_of(instance: PredictorInstance, policy: Policy, now: datetime) -> Ask | None:
    """The other end of the wire: what was asked; None where by rules that this end does not have."""
    decision = policy.of_rules(instance.rules, now)
    if decision is None:
        return None
    return Ask(
        instance.context.user_context(instance.user_id),
        instance.slate_size,
        frozenset(instance.exclude_items),
        replace(decision, per_category=instance.per_category),
        {pin.position: pin.item_id for pin in instance.pinned},
        sampling=None if instance.exploration is None else Sampling(**instance.exploration.model_dump()),
    )


def response_of(made: Made) -> PredictorResponse:
    """The other end of the wire: what the predictor answers."""
    return PredictorResponse(
        predictions=[_prediction(slate) for slate in made.slates], model_version=made.model_version
    )


def _prediction(slate: Slate | Refused) -> PredictorSlate:
    if isinstance(slate, Refused):
        return PredictorSlate(item_ids=[], scores=[], semantic_ids=[], refused=slate.reason)
    return PredictorSlate(
        item_ids=list(slate.item_ids),
        scores=[float(score) for score in slate.scores],
        semantic_ids=[[int(code) for code in codes] for codes in slate.semantic_ids],
        propensities=[float(propensity) for propensity in slate.propensities],
    )
