"""What clients may hold of a process: time, connections, memory, work. Real sockets on a real server."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from higr.errors import InputError
from serving import http_server
from serving.config import LimitsConfig
from serving.guard import HELD_BYTES, MAX_BODY_BYTES
from serving.http_server import MAX_HEAD_BYTES
from tests.serving.process import Server, free_port

pytestmark = pytest.mark.slow

CONNECTIONS = 40
CALLS = 4
BODY = b'{"instances": [{"user_id": "u", "request_id": "gone"}]}'
INFER = "/inference.GRPCInferenceService/ModelInfer"
TENSORS = b"\n\x04higr*\x18\n\x07user_id\x12\x05BYTES\x1a\x01\x01*\x03B\x01u"
"""A ModelInferRequest of one user as it goes over the wire."""
HEAD = b"POST /v1/models/higr:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("limits")


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(bundle: Bundle, folder: Path, grpc_port: int) -> Iterator[Server]:
    """Requests wait a second for company, so that there is time to go away."""
    (folder / "serving.yaml").write_text(
        f"limits: {{request_seconds: 2, connections: {CONNECTIONS}, calls: {CALLS}}}\n"
        "batch: {window_ms: 1000}"
    )
    arguments = ["--bundle", str(bundle.path), "--config", str(folder / "serving.yaml")]
    arguments += ["--log-dir", str(folder / "log"), "--grpc-port", str(grpc_port)]
    made = Server(folder, "higr", [*arguments, "--deadline-ms", "20000"])
    try:
        yield made.wait()
    finally:
        made.stop()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def answer(wire: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    try:
        while chunk := wire.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def calling(port: int) -> grpc.Channel:
    """A connection of its own."""
    return grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])


def gauge(server: Server, name: str) -> float:
    return server.metrics()[name, frozenset()]


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end, "it did not happen within a minute"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"\r\n", b"408"),
        (b"POST /v1/models/higr:predict HTTP/1.1\r\nhost: x\r\n", b"408"),
        (HEAD % 100 + b"{", b"408"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n", b"408"),
    ],
    ids=["nothing", "a new line", "half a head", "half a body", "half a chunk"],
)
def test_who_begins_and_does_not_end_is_let_go(server: Server, sent: bytes, status: bytes) -> None:
    with connect(server) as wire:
        wire.sendall(sent)
        assert answer(wire)[9:12] == status


def test_a_byte_now_and_then_is_not_enough(server: Server) -> None:
    with connect(server) as wire:
        received = b""
        wire.settimeout(0.2)
        wire.sendall(HEAD % 100)
        end = time.monotonic() + 30
        while not received and time.monotonic() < end:
            try:
                wire.sendall(b" ")
                received = wire.recv(4096)
            except TimeoutError:
                continue
        assert received[9:12] == b"408"


def test_a_connection_that_is_used_again_has_its_time_anew(server: Server) -> None:
    with connect(server) as wire:
        for _ in range(3):
            wire.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"}"):
                received += wire.recv(4096)
            assert received.startswith(b"HTTP/1.1 200")
            time.sleep(1)
        wire.sendall(b"GET / HTTP/1.1\r\n")
        assert answer(wire)[9:12] == b"408"


@pytest.mark.parametrize("path", ["/", "/v1/models/higr:predict"])
def test_a_long_head(server: Server, path: str) -> None:
    refused = server.client.get(path, headers={"x": "y" * MAX_HEAD_BYTES})
    assert (refused.status_code, refused.json()["field"]) == (431, "headers")
    assert server.client.get("/", headers={"x": "y" * (MAX_HEAD_BYTES - 1000)}).status_code == 200


def test_a_declared_length_is_refused_before_anything_is_sent(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall((HEAD % 10**12).replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))
        assert answer(wire)[9:12] == b"413"


def test_one_connection_too_many(server: Server) -> None:
    """Those that are there go on; the next is told to come back, and is served when there is room."""
    held = [connect(server) for _ in range(CONNECTIONS)]
    try:
        statuses = set()
        for wire in held:
            wire.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            statuses.add(wire.recv(4096)[9:12])
        with connect(server) as late:
            assert answer(late)[9:12] == b"503"
        assert b"200" in statuses
    finally:
        for wire in held:
            wire.close()
    until(server.ready)
    assert server.post({"instances": [{"user_id": "u"}]}).status_code == 200


def test_bodies_that_fill_the_memory_for_them(server: Server) -> None:
    """All but the last byte of the longest body, over more connections than may have one at once."""
    wires = [connect(server) for _ in range(HELD_BYTES // MAX_BODY_BYTES + 4)]
    try:
        for wire in wires:
            wire.sendall(HEAD % MAX_BODY_BYTES + b" " * (MAX_BODY_BYTES - 1))
        statuses = [answer(wire)[9:12] for wire in wires]
    finally:
        for wire in wires:
            wire.close()
    assert b"503" in statuses
    assert set(statuses) <= {b"503", b"408", b""}
    until(server.ready)
    assert server.post({"instances": [{"user_id": "u"}]}).status_code == 200


def test_a_client_that_goes_away_takes_its_work_along(server: Server, folder: Path) -> None:
    server.post({"instances": [{"user_id": "u", "request_id": "stayed"}]})
    batches = gauge(server, "higr_batches_total")
    for _ in range(3):
        with connect(server) as wire:
            wire.sendall(HEAD % len(BODY) + BODY)
            until(lambda: gauge(server, "higr_decoder_waiting") == 1)
        until(lambda: gauge(server, "higr_decoder_in_flight") == 0)
    assert gauge(server, "higr_batches_total") == batches
    assert "Traceback" not in server.log.read_text()
    assert "request_failed" not in server.log.read_text()

    def logged() -> list[Any]:
        parts = list((folder / "log").glob("*.parquet"))
        return [value for part in parts for value in pq.read_table(part)["request_id"].to_pylist()]

    until(lambda: "stayed" in logged())
    assert "gone" not in logged()


def test_a_call_that_is_cancelled_takes_its_work_along(server: Server, grpc_port: int) -> None:
    batches = gauge(server, "higr_batches_total")
    with calling(grpc_port) as channel:
        for _ in range(3):
            future = channel.unary_unary(INFER).future(TENSORS, timeout=30)
            until(lambda: gauge(server, "higr_decoder_waiting") == 1)
            future.cancel()
            until(lambda: gauge(server, "higr_decoder_in_flight") == 0)
        assert gauge(server, "higr_batches_total") == batches
        assert b"item_ids" in channel.unary_unary(INFER)(TENSORS, timeout=30)
    assert "Traceback" not in server.log.read_text()


def test_calls_beyond_those_at_once_are_told_so(server: Server, grpc_port: int) -> None:
    channels = [calling(grpc_port) for _ in range(2 * CALLS)]
    try:
        futures = [channel.unary_unary(INFER).future(TENSORS, timeout=30) for channel in channels]
        codes = [future.code().name for future in futures]
    finally:
        for channel in channels:
            channel.close()
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
    assert codes.count("OK") >= CALLS


@pytest.mark.parametrize(
    ("message", "metadata"), [(b"x" * (MAX_BODY_BYTES + 1), ()), (b"", (("x", "y" * 2 * MAX_HEAD_BYTES),))]
)
def test_a_call_that_is_too_long(
    grpc_port: int, server: Server, message: bytes, metadata: tuple[tuple[str, str], ...]
) -> None:
    with calling(grpc_port) as channel:
        future = channel.unary_unary(INFER).future(message, timeout=30, metadata=metadata)
        assert future.code().name == "RESOURCE_EXHAUSTED"


def test_a_connection_for_grpc_that_says_nothing(server: Server, grpc_port: int) -> None:
    with socket.create_connection(("127.0.0.1", grpc_port), timeout=30) as wire:
        answer(wire)  # it ends


def test_more_connections_than_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server.resource, "getrlimit", lambda _: (300, 1000))
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(http_server.resource, "setrlimit", lambda _, limits: raised.append(limits))
    http_server.bounded(LimitsConfig(connections=500))
    assert raised == [(756, 1000)]
    with pytest.raises(InputError, match="may open 1000 files; set at most 744"):
        http_server.bounded(LimitsConfig(connections=800))
