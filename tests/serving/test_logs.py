"""What is logged of which requests, and what of a user."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from higr.data.logs import is_sampled
from higr.errors import InputError
from serving.config import LogsConfig
from serving.logs import Logs, open_logs
from serving.metrics import Metrics
from serving.redaction import Redaction
from serving.schemas import FeedbackEvent
from tests.serving.test_cloud_events import Receiver
from tests.serving.test_feedback_log import add
from tests.serving.test_prediction_log import row

KEY = "0123456789abcdef0123456789abcdef"
USER = "somebody-1234"
HASH = "dc7d87fc9d46e009353da41f73308219"
"""Of `printf %s somebody-1234 | openssl dgst -sha256 -hmac KEY` the first 32 digits."""


def event(number: int, **fields: Any) -> FeedbackEvent:
    moment = datetime(2026, 3, 1, tzinfo=UTC).isoformat()
    return FeedbackEvent(event_id=f"e{number}", user_id=USER, item_id="i", timestamp=moment, **fields)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for part in sorted(folder.glob("*.parquet")) for row in pq.read_table(part).to_pylist()]


class Opened:
    """Both logs and a receiver, by one configuration."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder, self.stack, self.registry = folder, ExitStack(), CollectorRegistry()
        self.logs: Logs = open_logs(
            *(self.stack, LogsConfig(**config), "higr"),
            *(folder / "predictions", folder / "feedback", Metrics(self.registry)),
        )

    def close(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        self.stack.close()
        return rows(self.folder / "predictions"), rows(self.folder / "feedback")


def test_a_share_is_the_same_requests_everywhere_and_about_as_many_as_asked() -> None:
    ids = [f"r{number}" for number in range(20_000)]
    tenth = {request for request in ids if is_sampled(request, 0.1)}
    assert len(tenth) == pytest.approx(2000, abs=4 * 42)  # four standard deviations of a binomial
    assert tenth < {request for request in ids if is_sampled(request, 0.5)}
    assert all(is_sampled(request, 1.0) for request in ids)
    # Worked out apart, by Python's hashlib: nobody may change what a share is.
    assert sorted(tenth)[:3] == ["r10002", "r10018", "r10025"]


def test_sampled_rows_say_their_share_and_feedback_is_kept_whole(tmp_path: Path) -> None:
    opened = Opened(tmp_path, sample=0.25)
    assert opened.logs.predictions is not None
    assert opened.logs.feedback is not None
    ids = [f"r{number}" for number in range(200)]
    for request in ids:
        opened.logs.predictions.append(row(request))
    add(opened.logs.feedback, [event(number, request_id=request) for number, request in enumerate(ids)])
    predictions, feedback = opened.close()
    assert [r["request_id"] for r in predictions] == [request for request in ids if is_sampled(request, 0.25)]
    assert {r["sample_share"] for r in predictions} == {0.25}
    assert len(feedback) == 200


def test_without_sampling_rows_have_no_share(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    assert opened.logs.predictions is not None
    opened.logs.predictions.append(row("r"))
    ((only,), _) = opened.close()
    assert only["sample_share"] is None


@pytest.mark.parametrize(
    ("redact", "key", "user", "surface"),
    [
        ((), None, USER, "home"),
        (("user_id",), KEY, HASH, "home"),
        (("user_id", "surface", "context_digest"), None, "request:r", None),
    ],
    ids=["as it is", "hashed", "dropped"],
)
def test_both_logs_and_the_events_hold_the_same_of_a_user(
    tmp_path: Path, redact: tuple[str, ...], key: str | None, user: str | None, surface: str | None
) -> None:
    receiver = Receiver()
    if key is not None:
        (tmp_path / "key").write_text(f"{key}\n")
    opened = Opened(
        tmp_path,
        redact=redact,
        key_file=None if key is None else tmp_path / "key",
        cloudevents_url=receiver.url,
    )
    assert opened.logs.predictions is not None
    assert opened.logs.feedback is not None
    opened.logs.predictions.append(row("r", user_id=USER, surface="home", context_digest="00"))
    add(opened.logs.feedback, [event(1, request_id="r", surface="home")])
    ((prediction,), (feedback,)) = opened.close()
    receiver.close()
    sent = [json.loads(body)["data"] for _, body in receiver.taken]
    assert len(sent) == 2
    holders = [prediction, feedback, *sent]
    assert {holder["surface"] for holder in holders} == {surface}
    assert {holder["user_id"] for holder in holders} == {user}
    assert prediction["context_digest"] == (None if "context_digest" in redact else "00")
    written = [
        file.read_bytes() for name in ("predictions", "feedback") for file in (tmp_path / name).iterdir()
    ]
    assert any(USER.encode() in content for content in written) == (not redact)


def test_a_hash_depends_on_the_key_and_the_user_alone() -> None:
    one, other = (Redaction(["user_id"], key) for key in (b"k" * 16, b"l" * 16))
    names = [of.prediction(row("r", user_id=user))["user_id"] for of in (one, other) for user in (USER, "v")]
    assert len(set(names)) == 4
    assert one.prediction(row("another", user_id=USER))["user_id"] == names[0]
    assert one.feedback(event(1)).user_id == names[0]


def test_feedback_without_a_request_has_a_user_of_its_own_too() -> None:
    redaction = Redaction(["user_id"])
    assert redaction.feedback(event(1)).user_id == "event:e1"
    assert redaction.feedback(event(1, request_id="r")).user_id == "request:r"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"logs\.key_file .*key: No such file or directory; give one that can be read"),
        ("short\n", r"logs\.key_file .*key: 5 bytes, 16 are the least; make one with `openssl rand -hex 32`"),
    ],
)
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(InputError, match=message):
        Redaction.of(["user_id"], tmp_path / "key")


def test_counters_are_there_before_anything_fails(tmp_path: Path) -> None:
    opened = Opened(tmp_path, cloudevents_url="http://127.0.0.1:9/")
    for sink in ("predictions", "cloudevents"):
        for name in ("higr_log_failures_total", "higr_log_dropped_rows_total"):
            assert opened.registry.get_sample_value(name, {"sink": sink}) == 0
    assert opened.registry.get_sample_value("higr_log_failures_total", {"sink": "feedback"}) == 0
    opened.close()


def test_where_nothing_is_to_be_logged_there_is_no_log() -> None:
    with ExitStack() as stack:
        logs = open_logs(stack, LogsConfig(), "higr", None, None, Metrics(CollectorRegistry()))
    assert logs == Logs(None, None)
