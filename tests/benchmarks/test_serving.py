"""The load generator and the wire of the serving benchmark, against a server of a few lines."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from benchmarks.load import Answer, Load, summary
from benchmarks.serving_faults import Wire
from benchmarks.serving_world import free_port


class Endpoint:
    """Answers each request as the endpoint does, with as many items as it is told, after a while."""

    def __init__(self) -> None:
        self.items, self.status, self.after = 3, 200, 0.0
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append(body)
                time.sleep(outer.after)
                prediction = {
                    "items": [{}] * outer.items,
                    "source": "higr",
                    "fallback_reason": None,
                    "model_version": "v1",
                    "degraded": False,
                }
                answer = json.dumps({"predictions": [prediction]}).encode()
                self.send_response(outer.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1/models/higr:predict"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def gone() -> str:
    return f"http://127.0.0.1:{free_port()}/nobody"


def test_an_open_load_asks_whether_or_not_it_is_answered(endpoint: Endpoint) -> None:
    endpoint.after = 0.3
    load = Load([endpoint.url], 3, ["a", "b"], seed=0)
    done: list[float] = []
    answers = asyncio.run(load.open(40, 0.5, [(0.25, lambda: done.append(time.monotonic()))]))
    again = asyncio.run(Load([endpoint.url], 3, ["a", "b"], seed=0).open(40, 0.5))
    assert [answer.due for answer in answers] == [answer.due for answer in again]
    assert 10 < len(answers) < 35  # Poisson of mean 20
    assert len(endpoint.asked) == 2 * len(answers)
    assert {body["instances"][0]["user_id"] for body in endpoint.asked} == {"a", "b"}
    assert all(answer.seconds >= 0.3 and not answer.failed and not answer.short for answer in answers)
    assert len(done) == 1


def test_a_closed_load_waits_for_its_answers(endpoint: Endpoint) -> None:
    endpoint.after = 0.05
    answers, seconds = asyncio.run(Load([endpoint.url], 3, ["a"], seed=0).closed(2, 0.4))
    assert seconds >= 0.4
    assert 2 <= len(answers) <= 18  # two connections, at most one answer each in 50 ms


def test_who_finds_a_replica_gone_asks_the_next(endpoint: Endpoint) -> None:
    answers, _ = asyncio.run(Load([gone(), endpoint.url], 3, ["a"], seed=0).closed(1, 0.1))
    assert answers
    assert not any(answer.failed for answer in answers)


@pytest.mark.parametrize(("items", "status", "urls"), [(2, 200, 1), (3, 500, 1), (3, 200, 0)])
def test_what_went_wrong_is_told_apart(endpoint: Endpoint, items: int, status: int, urls: int) -> None:
    endpoint.items, endpoint.status = items, status
    url = endpoint.url if urls else gone()
    answers, _ = asyncio.run(Load([url], 3, ["a"], seed=0).closed(1, 0.05))
    row = summary(answers)
    assert row["errors"] == (0 if (status, urls) == (200, 1) else row["requests"])
    assert row["empty_or_short"] == (row["requests"] if items == 2 else 0)


def test_a_summary_by_hand() -> None:
    answers = [
        Answer(0.0, 0.010, 200, False, "higr"),
        Answer(0.1, 0.030, 200, True, "baseline", "deadline"),
        Answer(0.2, 5.0, 0),
    ]
    row = summary(answers)
    assert (row["requests"], row["errors"], row["empty_or_short"]) == (3, 1, 1)
    assert (row["p50_ms"], row["max_ms"]) == (pytest.approx(20), pytest.approx(30))
    assert row["sources"] == {"higr": 1, "baseline": 1}
    assert row["reasons"] == {"deadline": 1}


def test_the_wire_passes_on_is_late_or_says_something_else(endpoint: Endpoint) -> None:
    wire = Wire(endpoint.port)
    url = f"http://127.0.0.1:{wire.port}/v1/models/higr:predict"
    try:
        with httpx.Client(trust_env=False, timeout=10) as client:
            right = client.post(url, json={}).json()
            assert right["predictions"][0]["model_version"] == "v1"
            wire.set("garbage")
            assert client.post(url, json={}).json() != right
            wire.set("slow")
            with pytest.raises(httpx.ReadTimeout):
                client.post(url, json={}, timeout=0.2)
        wire.set("pass")
        with httpx.Client(trust_env=False, timeout=10) as client:
            assert client.post(url, json={}).json() == right
    finally:
        wire.close()
