"""Both windows: what belongs to the bundle that serves, and how feedback is labelled."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from higr.data.logs import PREDICTIONS, is_sampled
from higr.data.schemas import LABELLED_EVENTS, Feedback
from higr.errors import BundleError
from monitoring import windows
from monitoring.parts import Period
from monitoring.windows import current_window, reference_window

Write = Callable[..., Any]


def test_reference_is_the_bundles(bundle: Bundle) -> None:
    window = reference_window(bundle)
    assert window.rows == {"predictions": 500, "feedback": 2500}
    assert (window.predictions.schema, window.feedback.schema) == (PREDICTIONS, LABELLED_EVENTS)
    assert window.since == pc.min(bundle.reference("predictions")["timestamp"]).as_py()
    assert window.skipped == {}
    assert window.notes == ()


def test_reference_is_sampled_with_a_seed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_SLATES", 100)
    first, again, other = (reference_window(bundle, seed).predictions for seed in (0, 0, 1))
    assert len(first) == 100
    assert first.equals(again)
    assert not first.equals(other)
    assert reference_window(bundle).rows["predictions"] == 500


def test_reference_of_another_schema(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bundle, "reference", lambda self, name: pa.table({"user_id": ["u"]}))
    with pytest.raises(BundleError, match=r"reference/predictions\.parquet cannot be used"):
        reference_window(bundle)


def test_current_window_labels_feedback_as_the_bundle_does(
    bundle: Bundle, write: Write, traffic: Any
) -> None:
    logs = write(traffic(slates=50))
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert window.rows == {"predictions": 50, "feedback": 250}
    assert window.feedback.schema == LABELLED_EVENTS
    engaged = pc.greater_equal(window.feedback["feedback"], int(Feedback.ENGAGED)).to_numpy()
    ratio = pc.divide(window.feedback["watch_seconds"], window.feedback["duration_seconds"]).to_numpy()
    assert (engaged == (ratio >= 0.5)).all()
    assert window.feedback["strength"].to_numpy()[engaged] == pytest.approx(ratio[engaged])


def test_other_versions_and_their_feedback_are_left_out_and_counted(
    bundle: Bundle, write: Write, traffic: Any
) -> None:
    write(traffic(slates=40, seed=1))
    logs = write(traffic(slates=30, seed=2), version="another")
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert window.rows == {"predictions": 40, "feedback": 200}
    assert window.skipped == {"predictions.other-version": 30, "feedback.other-version": 150}


def test_of_a_sampled_log_only_feedback_on_its_own_slates_counts(
    bundle: Bundle, write: Write, traffic: Any
) -> None:
    """Else what other versions served, and was not logged, would count for this one."""
    write(traffic(slates=40, seed=1))
    logs = write(traffic(slates=30, seed=2), version="another")
    kept = {1: 0, 2: 0}
    for part in logs.predictions.iterdir():
        table = pq.read_table(part)
        mask = [is_sampled(name, 0.5) for name in table["request_id"].to_pylist()]
        place = table.schema.get_field_index("sample_share")
        table = table.set_column(place, table.schema.field(place), pa.array([0.5] * len(table)))
        pq.write_table(table.filter(pa.array(mask)), part)
        kept[int(part.name.split("-")[1])] += sum(mask)
    assert 0 < kept[1] < 40
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert window.rows == {"predictions": kept[1], "feedback": 5 * kept[1]}
    assert window.skipped == {
        "predictions.other-version": kept[2],
        "feedback.other-version": 5 * kept[2],
        "feedback.not-sampled": 5 * (70 - kept[1] - kept[2]),
    }


def test_feedback_without_a_logged_slate_counts(bundle: Bundle, write: Write, traffic: Any) -> None:
    logs = write(traffic(slates=20))
    for part in logs.predictions.iterdir():
        part.unlink()
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert window.rows == {"predictions": 0, "feedback": 100}


def test_period_bounds_both_logs(bundle: Bundle, write: Write, traffic: Any) -> None:
    day = traffic(slates=60)
    logs = write(day)
    period = Period(day.start + timedelta(minutes=10), day.start + timedelta(minutes=30))
    window = current_window(bundle, logs.predictions, logs.feedback, period)
    assert window.rows == {"predictions": 20, "feedback": 100}
    assert window.skipped == {"predictions.outside": 40, "feedback.outside": 200}
    assert (window.since, window.until) == (period.since, period.until)


def test_bounds_are_those_of_the_rows_when_none_are_asked_for(
    bundle: Bundle, write: Write, traffic: Any
) -> None:
    day = traffic(slates=10)
    logs = write(day)
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert window.since == day.start
    assert window.until == day.start + timedelta(minutes=9, seconds=4)


def test_empty_logs_are_an_empty_window(bundle: Bundle, write: Write, traffic: Any) -> None:
    logs = write(traffic(slates=0))
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert window.rows == {"predictions": 0, "feedback": 0}
    assert (window.since, window.until) == (None, None)


@pytest.mark.parametrize(
    ("column", "value"),
    [("watch_seconds", float("nan")), ("watch_seconds", -1.0), ("duration_seconds", -3.0)],
)
def test_impossible_feedback_is_left_out(
    bundle: Bundle, write: Write, traffic: Any, column: str, value: float
) -> None:
    logs = write(traffic(slates=10), parts=1)
    part = next(logs.feedback.iterdir())
    table = pq.read_table(part)
    values = [value, *table[column].to_pylist()[1:]]
    i = table.schema.get_field_index(column)
    pq.write_table(table.set_column(i, table.schema.field(i), pa.array(values, pa.float32())), part)
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert (len(window.feedback), window.skipped) == (49, {"feedback.malformed": 1})


def test_slate_with_other_number_of_scores_is_left_out(bundle: Bundle, write: Write, traffic: Any) -> None:
    logs = write(traffic(slates=10), parts=1)
    part = next(logs.predictions.iterdir())
    table = pq.read_table(part)
    i = table.schema.get_field_index("scores")
    scores = [[0.5], *table["scores"].to_pylist()[1:]]
    pq.write_table(table.set_column(i, table.schema.field(i), pa.array(scores, pa.list_(pa.float32()))), part)
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert (len(window.predictions), window.skipped) == (9, {"predictions.malformed": 1})


def test_feedback_without_the_signal_is_named_not_labelled(
    bundle: Bundle, write: Write, traffic: Any
) -> None:
    logs = write(traffic(slates=10), parts=1)
    part = next(logs.feedback.iterdir())
    table = pq.read_table(part)
    i = table.schema.get_field_index("watch_seconds")
    pq.write_table(table.set_column(i, table.schema.field(i), pa.nulls(50, pa.float32())), part)
    window = current_window(bundle, logs.predictions, logs.feedback, Period())
    assert len(window.feedback) == 0
    assert len(window.notes) == 1
    assert "watch_seconds" in window.notes[0]


def test_bundle_without_engagement_policy(bundle: Bundle, write: Write, traffic: Any) -> None:
    bare = Bundle(bundle.path, bundle.manifest.model_copy(update={"config": {}}))
    logs = write(traffic(slates=10))
    with pytest.raises(BundleError, match=r"no readable data\.engagement"):
        current_window(bare, logs.predictions, logs.feedback, Period())
