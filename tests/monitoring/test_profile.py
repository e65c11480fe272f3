"""Windows to frames: counts and labels by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from higr.bundle import Bundle
from higr.data.logs import PREDICTIONS
from higr.data.schemas import LABELLED_EVENTS
from monitoring.profile import profile
from monitoring.windows import Window, reference_window

MOMENT = 1_770_000_000_000


@pytest.fixture
def window() -> Window:
    def slate(
        request: str, user: str, source: str, items: list[str], scores: list[float | None]
    ) -> dict[str, Any]:
        return {
            "request_id": request,
            "timestamp": MOMENT,
            "user_id": user,
            "source": source,
            "model_version": "v",
            "item_ids": items,
            "scores": scores,
            "semantic_ids": [[]] * len(items),
            "history_length": 0,
            "degraded": False,
            "latency_ms": 1.0,
            "fallback_reason": None,
        }

    def event(user: str, item: str, feedback: int, strength: float) -> dict[str, Any]:
        known = {"user_id": user, "item_id": item, "timestamp": MOMENT}
        return dict.fromkeys(LABELLED_EVENTS.names) | known | {"feedback": feedback, "strength": strength}

    predictions = [
        slate("1", "ann", "higr", ["item-00", "item-63"], [0.5, -1.0]),
        slate("2", "bob", "popular", ["item-17", "gone"], [9.0, 8.0]),
        slate("3", "cat", "baseline", [], []),
    ]
    feedback = [
        event("ann", "item-00", 1, 0.0),
        event("bob", "item-63", 3, 1.5),
        event("bob", "gone", 2, 0.7),
    ]
    return Window(
        predictions=pa.Table.from_pylist(predictions, schema=PREDICTIONS),
        feedback=pa.Table.from_pylist(feedback, schema=LABELLED_EVENTS),
        since=None,
        until=None,
        rows={},
        skipped={},
        notes=(),
    )


def test_frames_by_hand(window: Window, bundle: Bundle) -> None:
    frames = profile(window, bundle.catalog, bundle.items)
    assert frames["slates"].to_dict("list") == {
        "user": ["ann", "bob", "cat"],
        "source": ["higr", "fallback", "fallback"],
    }
    served = frames["served"]
    assert served.drop(columns="score").to_dict("list") == {
        "user": ["ann", "ann", "bob", "bob"],
        "code_1": ["0", "3", "1", "unknown"],
        "code_2": ["0", "3", "0", "unknown"],
        "code_3": ["0", "3", "1", "unknown"],
        "category": ["cats", "cycling", "cooking", "unknown"],
    }
    assert np.array_equal(served["score"], [0.5, -1.0, np.nan, np.nan], equal_nan=True)  # higr's scale only
    assert frames["exposed"].to_dict("list") == {
        "user": ["ann", "bob", "bob"],
        "feedback": ["exposed", "strong", "engaged"],
        "effective_view": ["no", "yes", "yes"],
    }
    engaged = frames["engaged"]
    assert engaged["user"].tolist() == ["bob", "bob"]
    assert engaged["category"].tolist() == ["cycling", "unknown"]
    assert engaged["code_1"].tolist() == ["3", "unknown"]
    assert engaged["strength"].tolist() == pytest.approx([1.5, 0.7])


def test_empty_window_has_the_same_columns(window: Window, bundle: Bundle) -> None:
    empty = Window(PREDICTIONS.empty_table(), LABELLED_EVENTS.empty_table(), None, None, {}, {}, ())
    full = profile(window, bundle.catalog, bundle.items)
    for name, frame in profile(empty, bundle.catalog, bundle.items).items():
        assert len(frame) == 0
        assert list(frame.columns) == list(full[name].columns)
        assert frame.get("score", frame.get("strength", np.empty(0))).dtype == np.float64


def test_chunks_and_slices_do_not_matter(bundle: Bundle, write: Callable[..., Any]) -> None:
    whole = reference_window(bundle)
    table = whole.predictions
    pieces = pa.concat_tables([table.slice(0, 100), table.slice(100)]).slice(50)
    cut = Window(pieces, whole.feedback.slice(7), None, None, {}, {}, ())
    frames, expected = (profile(w, bundle.catalog, bundle.items) for w in (cut, whole))
    assert frames["served"].equals(expected["served"].iloc[250:].reset_index(drop=True))
    assert frames["exposed"].equals(expected["exposed"].iloc[7:].reset_index(drop=True))
