"""Events reach a real receiver over HTTP; one that misbehaves costs no request anything."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from cloudevents.http import from_http

from serving import cloud_events
from serving.cloud_events import FEEDBACK, PREDICTION, CloudEvents
from serving.schemas import FeedbackEvent
from tests.serving.process import free_port
from tests.serving.test_prediction_log import row, until

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Receiver:
    """Keeps what it is sent; `answer` says with what status, given the number of the call from 1."""

    def __init__(self, answer: Callable[[int], int] = lambda call: 202, port: int = 0) -> None:
        receiver = self
        self.answer = answer
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[tuple[dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                call = ({key.lower(): value for key, value in self.headers.items()}, body)
                receiver.calls.append(call)
                status = receiver.answer(len(receiver.calls))
                if 200 <= status < 300:
                    receiver.taken.append(call)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/in"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def ids(self) -> list[str]:
        """Of the events that were taken, in order."""
        found = []
        for headers, body in self.taken:
            events = json.loads(body)
            found += [event["id"] for event in (events if "batch" in headers["content-type"] else [events])]
        return found

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


class Counted:
    def __init__(self) -> None:
        self.failures = self.dropped = 0

    def failed(self) -> None:
        self.failures += 1

    def lost(self, events: int) -> None:
        self.dropped += events


@pytest.fixture
def counted() -> Counted:
    return Counted()


def sink(url: str, counted: Counted, **fields: Any) -> CloudEvents:
    return CloudEvents(url, "higr", on_failure=counted.failed, on_drop=counted.lost, **fields)


def feedback(number: int) -> FeedbackEvent:
    return FeedbackEvent(
        event_id=f"e{number}", user_id="u", item_id="i", timestamp=NOON.isoformat(), clicked=True
    )


def test_a_structured_event_is_what_the_standards_own_reader_reads(
    receiver: Receiver, counted: Counted
) -> None:
    log = sink(receiver.url, counted)
    log.append(row("r", surface="home"))
    log.received([feedback(1)])
    until(lambda: len(receiver.taken) == 2)
    log.close()
    prediction, received = (from_http(headers, body) for headers, body in receiver.taken)
    assert prediction.get_attributes() == {
        "specversion": "1.0",
        "id": "r",
        "source": "/higr/higr",
        "type": PREDICTION,
        "time": "2026-01-01T12:30:00.250000+00:00",
        "datacontenttype": "application/json",
    }
    assert prediction.data == {**row("r", surface="home"), "timestamp": "2026-01-01T12:30:00.250000+00:00"}
    assert (received["type"], received["id"]) == (FEEDBACK, "e1")
    assert received.data["clicked"] is True
    assert received.data["timestamp"] == "2026-03-01T12:00:00+00:00"
    assert (counted.failures, counted.dropped) == (0, 0)


def test_batches_hold_every_event_once_in_order(counted: Counted) -> None:
    slow = threading.Event()
    receiver = Receiver(lambda call: 202 if slow.wait(30) else 500)
    log = sink(receiver.url, counted, batch=100)
    for number in range(250):
        log.append(row(str(number)))
    slow.set()
    until(lambda: len(receiver.ids()) == 250)
    log.close()
    receiver.close()
    assert receiver.ids() == [str(number) for number in range(250)]
    assert len(receiver.taken) <= 4  # the first call had what was there, the others a hundred
    assert {headers["content-type"] for headers, _ in receiver.taken} == {
        "application/cloudevents-batch+json; charset=utf-8"
    }


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again(status: int, counted: Counted) -> None:
    receiver = Receiver(lambda call: status if call <= 3 else 202)
    log = sink(receiver.url, counted)
    for number in range(3):
        log.append(row(str(number)))
    until(lambda: len(receiver.taken) == 3)
    log.close()
    receiver.close()
    assert receiver.ids() == ["0", "1", "2"]
    assert (counted.failures, counted.dropped) == (3, 0)


@pytest.mark.parametrize("status", [400, 404, 413, 302])
def test_what_will_not_pass_is_counted_and_the_next_one_is_sent(status: int, counted: Counted) -> None:
    receiver = Receiver(lambda call: status if call == 2 else 204)
    log = sink(receiver.url, counted)
    for number in range(4):
        log.append(row(str(number)))
    until(lambda: len(receiver.taken) == 3)
    log.close()
    receiver.close()
    assert receiver.ids() == ["0", "2", "3"]
    assert (counted.failures, counted.dropped) == (1, 1)


def test_a_receiver_that_is_down_gets_everything_once_it_is_back(counted: Counted) -> None:
    port = free_port()
    log = sink(f"http://127.0.0.1:{port}/", counted)
    for number in range(5):
        log.append(row(str(number)))
    until(lambda: counted.failures >= 2)
    receiver = Receiver(port=port)
    until(lambda: len(receiver.taken) == 5)
    receiver.close()
    log.append(row("5"))
    failures = counted.failures
    until(lambda: counted.failures > failures)
    receiver = Receiver(port=port)
    until(lambda: receiver.ids() == ["5"])
    log.close()
    receiver.close()
    assert counted.dropped == 0


def test_while_it_is_down_handing_over_never_waits_and_the_rest_is_counted(counted: Counted) -> None:
    log = sink(f"http://127.0.0.1:{free_port()}/", counted, waiting=10)
    log.append(row("first"))
    until(lambda: counted.failures >= 1)  # now the thread has it
    for number in range(1000):
        log.append(row(str(number)))
    assert counted.dropped == 990
    log.close()
    assert counted.dropped == 1001


def test_a_receiver_that_never_answers_is_given_up_and_tried_again(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_events, "TIMEOUT", httpx.Timeout(0.2))
    asleep = threading.Event()
    receiver = Receiver(lambda call: 202 if call > 2 or asleep.wait(30) else 500)
    log = sink(receiver.url, counted)
    log.append(row("a"))
    until(lambda: receiver.ids() == ["a"])
    asleep.set()
    log.close()
    receiver.close()
    assert counted.failures == 2
    assert counted.dropped == 0


def test_a_call_that_always_fails_is_given_up_in_the_end(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_events, "PATIENCE", 0.05)
    receiver = Receiver()
    receiver.answer = lambda call: 500 if b'"poison"' in receiver.calls[call - 1][1] else 202
    log = sink(receiver.url, counted)
    for name in ("a", "poison", "b"):
        log.append(row(name))
    until(lambda: receiver.ids() == ["a", "b"])
    log.close()
    receiver.close()
    assert counted.dropped == 1


def test_the_end_sends_what_waits(receiver: Receiver, counted: Counted) -> None:
    log = sink(receiver.url, counted)
    for number in range(20):
        log.append(row(str(number)))
    log.close()
    assert len(receiver.ids()) == 20
    log.append(row("after the end"))
    assert counted.dropped == 1


def test_the_end_does_not_wait_for_a_receiver_that_hangs(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_events, "CLOSING_SECONDS", 0.1)
    asleep = threading.Event()
    receiver = Receiver(lambda call: 202 if asleep.wait(30) else 500)
    log = sink(receiver.url, counted)
    for number in range(10):
        log.append(row(str(number)))
    until(lambda: len(receiver.calls) == 1)
    log.close()
    assert not asleep.is_set()
    assert counted.dropped == 9  # of the one that is on its way nobody knows
    asleep.set()
    time.sleep(0.05)
    receiver.close()


def test_odd_names_are_quoted_in_the_source(receiver: Receiver, counted: Counted) -> None:
    log = CloudEvents(receiver.url, "my model/ü", on_drop=counted.lost)
    log.append(row("r"))
    log.close()
    assert json.loads(receiver.taken[0][1])["source"] == "/higr/my%20model%2F%C3%BC"


def test_an_event_that_cannot_be_written_is_lost_alone(receiver: Receiver, counted: Counted) -> None:
    log = sink(receiver.url, counted, batch=100)
    log.append(row("a", user_id="\ud800"))
    until(lambda: counted.dropped == 1)
    log.append(row("b"))
    log.close()
    assert receiver.ids() == ["b"]
