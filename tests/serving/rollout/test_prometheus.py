"""Prometheus as it should not be: silent, broken, or of yesterday. And counters, by hand."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from higr.errors import InputError
from serving.rollout.config import Prometheus as Settings
from serving.rollout.config import RolloutConfig
from serving.rollout.measure import Measure
from serving.rollout.prometheus import Prometheus, Series, Unavailable, increase

NOW = 1_800_000_000.0
Answer = tuple[int, bytes]


class Server:
    """Answers each query as it is told to; what was asked lies in `asked`."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                (query,) = parse_qs(body)["query"]
                server.asked.append((query, self.headers.get("authorization")))
                status, content = answer(query)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def served() -> Iterator[Callable[[Callable[[str], Answer]], Server]]:
    servers: list[Server] = []

    def start(answer: Callable[[str], Answer]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def measure(url: str, **fields: Any) -> Measure:
    settings = Settings(url=url, timeout_seconds=0.5, stale_seconds=30)
    config = RolloutConfig(name="higr", namespace="models", prometheus=settings, **fields)
    return Measure(config, Prometheus(settings))


def result(kind: str, *entries: Any) -> Answer:
    document = {"status": "success", "data": {"resultType": kind, "result": list(entries)}}
    return 200, json.dumps(document).encode()


def late(_: str) -> Answer:
    time.sleep(1.0)
    return result("vector")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (late, "does not answer .ReadTimeout"),
        (lambda _: (500, b"{}"), "answers 500"),
        (lambda _: (401, b"who are you"), "answers 401"),
        (lambda _: (200, b"<html>a log-in page</html>"), "not JSON"),
        (lambda _: (200, b""), "not JSON"),
        (lambda _: (200, b"[]"), "not one of its query API"),
        (lambda _: (200, b'{"status": "error", "data": {}}'), "not one of its query API"),
        (lambda _: result("scalar", 1), "not one of its query API"),
        (lambda _: result("vector", {"metric": {}, "value": [NOW, "NaN"]}), "not one of its query API"),
        (lambda _: result("vector", {"metric": {}}), "not one of its query API"),
        (lambda _: result("vector", {"metric": {}, "value": [NOW, "many"]}), "not one of its query API"),
    ],
)
def test_a_server_that_cannot_be_relied_on_is_told_from_one_that_can(
    served: Callable[[Callable[[str], Answer]], Server], answer: Callable[[str], Answer], message: str
) -> None:
    server = served(answer)
    with pytest.raises(Unavailable, match=message):
        measure(server.url)(NOW - 60, NOW)


def test_no_server_at_all() -> None:
    with pytest.raises(Unavailable, match=r"does not answer \(ConnectError"):
        measure("http://127.0.0.1:9")(NOW - 60, NOW)


def answering(age: float, settled: float = NOW - 900) -> Callable[[str], Answer]:
    """A whole Prometheus, whose newest sample is so old."""

    def answer(query: str) -> Answer:
        if query.startswith("higr_bundle_info"):
            return result("vector", {"metric": {"version": "v1"}, "value": [NOW, "1"]})
        if query.startswith("higr_switch_position"):
            return result("vector")
        if query.startswith("higr_outcome_settled"):
            return result("vector", {"metric": {}, "value": [NOW, str(settled)]})
        values = [[NOW - age - 60, "10"], [NOW - age, "30"]]
        labels = {"status": "2xx", "source": "higr", "le": "+Inf"}
        return result("matrix", {"metric": labels, "values": values})

    return answer


def test_a_server_that_answers_well_is_read(served: Callable[[Callable[[str], Answer]], Server]) -> None:
    server = served(answering(age=5))
    look = measure(server.url)(NOW - 50, NOW)
    assert look.versions == {"stable": frozenset({"v1"}), "canary": frozenset({"v1"})}
    assert look.counted.rated("canary", "errors").n == 20
    assert look.counted.rated("canary", "slow_0.3").hits == 20  # +Inf alone came
    assert look.counted.sums("stable", "watch_seconds").total == 20
    queries = [query for query, _ in server.asked]
    assert any('pod=~"higr-canary-transformer-.+"' in query for query in queries)
    assert any('le=~"0.3|0.3|\\\\+Inf"' in query for query in queries)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (answering(age=40), "newest sample of the stable side is 40 seconds old, over 30"),
        (
            lambda q: (
                result("vector", {"metric": {}, "value": [NOW, "1"]}) if "switch" in q else answering(5)(q)
            ),
            "the switch of the stable side is on baseline: no model is seen",
        ),
        (
            lambda q: result("matrix") if "responses" in q else answering(5)(q),
            "no series of the stable side in Prometheus",
        ),
    ],
)
def test_what_is_old_or_missing_is_told(
    served: Callable[[Callable[[str], Answer]], Server], answer: Callable[[str], Answer], message: str
) -> None:
    with pytest.raises(Unavailable, match=message):
        measure(served(answer).url)(NOW - 50, NOW)


@pytest.mark.parametrize(
    ("answer", "settled", "slates", "lacking"),
    [
        (answering(age=5), NOW - 900, 20, ""),
        (answering(age=5, settled=NOW - 1300), NOW - 1300, 20, "outcomes are 1300 seconds old"),
        (
            lambda q: result("vector") if "settled" in q else answering(5)(q),
            *(0, 0, "no higr_outcome_settled_timestamp_seconds in Prometheus"),
        ),
    ],
)
def test_rates_are_judged_whatever_is_known_of_outcomes(
    served: Callable[[Callable[[str], Answer]], Server],
    answer: Callable[[str], Answer],
    settled: float,
    slates: float,
    lacking: str,
) -> None:
    look = measure(served(answer).url)(NOW - 50, NOW)
    assert (look.settled, look.counted.sums("stable", "watch_seconds").n) == (settled, slates)
    assert look.lacking[: len(lacking) or None] == lacking
    assert look.counted.rated("canary", "errors").n == 20


def test_a_token_is_shown_and_one_that_cannot_be_read_is_told(
    served: Callable[[Callable[[str], Answer]], Server], tmp_path: Path
) -> None:
    server, file = served(lambda _: result("vector")), tmp_path / "token"
    file.write_text("hush\n")
    Prometheus(Settings(url=server.url, token_file=file)).vector("up", NOW)
    assert server.asked == [("up", "Bearer hush")]
    with pytest.raises(InputError, match=r"token_file .* cannot be read"):
        Prometheus(Settings(url=server.url, token_file=tmp_path / "none"))


@pytest.mark.parametrize(
    ("samples", "rises"),
    [
        ([[(0, 5), (10, 8), (20, 9)]], [4]),
        ([[(0, 5), (10, 8), (20, 2), (30, 3)]], [6]),  # a restart, from 0
        ([[(0, 5), (10, 8)], [(12, 7), (20, 9)]], [3, 9]),  # a new pod began at 0
        ([[(12, 7), (20, 9)]], [2]),  # nothing was there before: who knows what it had
        ([[(-20, 1), (0, 5)]], [0]),  # gone since
        ([], []),
    ],
)
def test_increases_by_hand(samples: list[list[tuple[float, float]]], rises: list[float]) -> None:
    series = [Series({}, one) for one in samples]
    assert list(increase(series, 0.0).values()) == rises
