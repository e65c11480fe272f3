"""What the prediction log says of one slate."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from higr.data.logs import context_digest
from higr.slate import Slate, UserContext
from serving.schemas import Instance, Prediction


def prediction_row(
    prediction: Prediction,
    slate: Slate,
    instance: Instance,
    context: UserContext,
    steps: Mapping[str, float],
    seconds: float,
) -> dict[str, Any]:
    """A row of `higr.data.logs.PREDICTIONS`.

    Args:
        context: what the model was given.
        steps: seconds of each step that its request took (`serving.steps`).
        seconds: from request to slate.
    """
    own: Mapping[str, float | None] = {
        "features_ms": steps.get("features") if instance.context is None else None,
        "predictor_ms": steps.get("predictor") if prediction.fallback_reason != "breaker" else None,
        "baseline_ms": steps.get("baseline") if prediction.source != "higr" else None,
    }
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
        "history_length": len(context.item_ids),
        "degraded": prediction.degraded,
        "latency_ms": seconds * 1000,
        "propensities": [float(chance) for chance in slate.propensities] or None,
        "surface": instance.surface,
        "context_digest": context_digest(context),
        **{name: None if value is None else value * 1000 for name, value in own.items()},
        "sample_share": None,
    }
