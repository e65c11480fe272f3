"""What can go wrong while requests come, each done to real processes and healed again.

    requests     load begins ──────────► broken ──────────► healed ──────────► load ends
    seconds      0                      1/4                 1/2                1

A fault is what breaks something and what heals it. What is counted: requests that failed, slates that were
short, who made the slates, and how long after the healing the first one was again as before.
"""

import asyncio
import json
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load import Answer, Load, summary
from benchmarks.serving_world import Process, Redis, World, free_port, write_config
from higr.bundle import Bundle
from higr.files import read_table
from serving.guard import MAX_BODY_BYTES

DEADLINE_MS = 300
BROKEN, HEALED = 0.25, 0.5
"""Shares of a run."""

Act = Callable[[], Any]


@dataclass(frozen=True)
class Fault:
    """Attributes:
    broken, healed: what is done at those moments.
    users: who asks, where it is not the known users.
    well: an answer as it is when nothing is wrong.
    stretch: times the usual length of a run; healing that starts a process takes seconds.
    processes: that are asked, where it is not the replicas.
    """

    name: str
    broken: Act
    healed: Act
    users: Sequence[str] = ()
    well: Callable[[Answer], bool] = lambda answer: answer.source == "higr" and not answer.degraded
    stretch: float = 1.0
    processes: Sequence[Process] = ()


class Sink:
    """Takes CloudEvents, as long as it is there."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: set[str] = set()
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                events = json.loads(self.rfile.read(int(self.headers["content-length"])))
                taken.update(event["id"] for event in events)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


class Clock:
    """The wall clock of processes that were started with `environment`; their monotonic one goes on."""

    SOURCE = Path(__file__).with_name("clock_shift.c")

    def __init__(self, folder: Path) -> None:
        self._library, self._file = folder / "clock_shift.so", folder / "clock"
        self._file.write_bytes(bytes(8))
        compiler = ["cc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(self.SOURCE), "-ldl"]
        subprocess.run(compiler, check=True)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIFT_FILE": str(self._file)}

    def move(self, shift: timedelta) -> None:
        """So far ahead of what it is."""
        with self._file.open("r+b") as file:  # the processes have it mapped
            file.write(struct.pack("q", int(shift.total_seconds())))


class Wire:
    """Between transformer and predictor: passes on, is late, or says something else."""

    def __init__(self, port: int) -> None:
        self.mode = "pass"
        self._to = port
        self.port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self._thread.start()
        listening.wait()

    def set(self, mode: str) -> None:
        self.mode = mode

    def close(self) -> None:
        assert self._loop is not None
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self, listening: threading.Event) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._listen(listening))

    async def _listen(self, listening: threading.Event) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        # Not `async with`: leaving that waits for connections which the transformer keeps.
        await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._pump(reader, forth, lambda chunk: chunk), self._pump(back, writer, self._spoilt)
        )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
    ) -> None:
        try:
            while chunk := await reader.read(65536):
                if self.mode == "slow" and change == self._spoilt:
                    await asyncio.sleep(2 * DEADLINE_MS / 1000)
                writer.write(change(chunk))
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def _spoilt(self, chunk: bytes) -> bytes:
        if self.mode != "garbage":
            return chunk
        # As long as before, so that the answer is whole and wrong.
        head, separator, body = (
            chunk.partition(b"\r\n\r\n") if chunk.startswith(b"HTTP/") else (b"", b"", chunk)
        )
        return head + separator + body.translate(bytes.maketrans(b"0123456789", b"9876543210"))


@dataclass
class Stand:
    """Two transformers as replicas, a predictor behind a wire, Redis, and all the files they watch."""

    world: World
    folder: Path
    redis: Redis
    store: Path
    predictor: Process = field(init=False)
    replicas: list[Process] = field(init=False)
    wire: Wire = field(init=False)
    stale: Process = field(init=False)
    jumpy: Process = field(init=False)

    def __post_init__(self) -> None:
        self.sink, self.clock = Sink(), Clock(self.folder)
        self.link = self.folder / "current"
        self.switch, self.policy = self.folder / "switch", self.folder / "policy.yaml"
        self.point(self.world.bundle.path)
        self.switch.write_text("auto")
        self.policy.write_text("rules: []")
        common = ["--bundle", str(self.link), "--policy", str(self.policy)]
        self.predictor = Process(self.folder, "higr-predictor", [*common, "--role", "predictor"]).start()
        self.predictor.wait()
        self.wire = Wire(self.predictor.port)
        sent = {"logs": {"cloudevents_url": self.sink.url, "cloudevents_mode": "batch"}}
        old = {"features": {"max_age_seconds": {"user_context": 1}}}
        self.replicas = [self._transformer(common, number, sent) for number in range(2)]
        self.stale = self._transformer(common, 2, old)
        self.jumpy = self._transformer(common, 3, {}, self.clock.environment)
        for process in self.transformers:
            process.start().wait()

    @property
    def transformers(self) -> list[Process]:
        return [*self.replicas, self.stale, self.jumpy]

    def _transformer(
        self,
        common: Sequence[str],
        number: int,
        config: dict[str, object],
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        return Process(
            self.folder,
            "higr",
            [
                *[*common, "--role", "transformer", "--predictor-host", f"127.0.0.1:{self.wire.port}"],
                *["--features", str(self.store), "--switch", str(self.switch)],
                *["--log-dir", str(self.logs(number)), "--deadline-ms", str(DEADLINE_MS)],
                *["--feedback-dir", str(self.folder / f"feedback-{number}")],
                *["--config", str(write_config(self.folder / f"serving-{number}.yaml", **config))],
            ],
            environment,
        )

    def logs(self, number: int) -> Path:
        return self.folder / f"predictions-{number}"

    def point(self, bundle: Path) -> None:
        """Another bundle in the place that all processes look at."""
        aside = self.link.with_name("aside")
        aside.symlink_to(bundle)
        aside.replace(self.link)

    def close(self) -> None:
        for process in (*self.transformers, self.predictor):
            process.stop()
        self.wire.close()
        self.sink.stop()


def faults(stand: Stand, other: Bundle) -> list[Fault]:
    """All of them; other: a second bundle over the same catalogue."""
    world, redis, predictor = stand.world, stand.redis, stand.predictor
    front = stand.replicas[0]
    return [
        Fault("predictor killed", predictor.kill, lambda: predictor.start().wait(), stretch=2.0),
        Fault(
            "predictor hung",
            lambda: predictor.send(signal.SIGSTOP),
            lambda: predictor.send(signal.SIGCONT),
        ),
        Fault("predictor slow", lambda: stand.wire.set("slow"), lambda: stand.wire.set("pass")),
        Fault("predictor returns garbage", lambda: stand.wire.set("garbage"), lambda: stand.wire.set("pass")),
        Fault("Redis down", lambda: redis.send(signal.SIGKILL), redis.start),
        Fault("Redis hung", lambda: redis.send(signal.SIGSTOP), lambda: redis.send(signal.SIGCONT)),
        Fault("Feast registry missing", *_moved(stand.store / "registry.db")),
        Fault(
            "stale features",
            _nothing,
            _nothing,
            well=lambda answer: answer.source == "higr" and answer.degraded,
            processes=[stand.stale],
        ),
        Fault(
            "bundle corrupt on swap",
            lambda: stand.point(_damaged(world.bundle, stand.folder / "damaged")),
            lambda: stand.point(world.bundle.path),
        ),
        Fault(
            "catalogue swapped to an incompatible one",
            lambda: stand.point(_mixed(world.bundle, other, stand.folder / "mixed")),
            lambda: stand.point(world.bundle.path),
        ),
        Fault(
            "bundle swapped and swapped back",
            lambda: stand.point(other.path),
            lambda: stand.point(world.bundle.path),
        ),
        Fault(
            "disk full for logs",
            lambda: [_limit_files(replica, 0) for replica in stand.replicas],
            lambda: [_limit_files(replica, resource.RLIM_INFINITY) for replica in stand.replicas],
        ),
        Fault("log sink down", stand.sink.stop, stand.sink.start),
        *_clock_jumps(stand),
        Fault("switch file removed", stand.switch.unlink, lambda: stand.switch.write_text("auto")),
        Fault(
            "switch file malformed",
            lambda: stand.switch.write_bytes(b"\xffbase\x00line"),
            lambda: stand.switch.write_text("auto"),
        ),
        Fault(
            "policy file expired",
            lambda: stand.policy.write_text(_policy(expires=datetime.now(UTC) - timedelta(days=1))),
            lambda: stand.policy.write_text("rules: []"),
        ),
        Fault(
            "all items of a category blocked",
            lambda: stand.policy.write_text(_policy(category=_commonest(world.bundle))),
            lambda: stand.policy.write_text("rules: []"),
        ),
        Fault("clients disconnect in mid-request", lambda: _disconnect(front, world, 200), lambda: None),
        Fault("a replica gets SIGTERM", lambda: front.stop(), lambda: front.start().wait(), stretch=2.0),
        Fault("huge requests", lambda: _huge(front, world), _nothing),
        Fault(
            "flood of unknown users",
            _nothing,
            _nothing,
            tuple(f"nobody-{number}" for number in range(10_000)),
            lambda answer: answer.source == "higr",
        ),
    ]


def measure(
    stand: Stand, fault: Fault, rps: float, seconds: float, seed: int
) -> tuple[dict[str, Any], set[str]]:
    """One row of the table, and the ids of the requests that were answered."""
    seconds *= fault.stretch
    load = Load(
        [process.url for process in fault.processes or stand.replicas],
        stand.world.size,
        fault.users or stand.world.users,
        seed,
    )
    answers = asyncio.run(
        load.open(rps, seconds, [(seconds * BROKEN, fault.broken), (seconds * HEALED, fault.healed)])
    )
    row = summary(answers)
    well = [answer.due for answer in answers if answer.due >= seconds * HEALED and fault.well(answer)]
    answered = {answer.request_id for answer in answers if not answer.failed}
    return {
        "fault": fault.name,
        "requests": row["requests"],
        "failed": row["errors"],
        "short": row["empty_or_short"],
        "sources": row["sources"],
        "reasons": row["reasons"],
        "p99_ms": row["p99_ms"],
        "recovery_s": min(well) - seconds * HEALED if well else None,
    }, answered


def unlogged(stand: Stand, answered: set[str]) -> set[str]:
    """Requests that were answered and are in no prediction log; ask once the processes have ended."""
    logged: set[str] = set()
    for number in range(len(stand.transformers)):
        for part in stand.logs(number).glob("*.parquet"):
            logged.update(read_table(part, ["request_id"])["request_id"].to_pylist())
    return answered - logged


def _nothing() -> None:
    """The fault is in who asks, or whom."""


def _clock_jumps(stand: Stand) -> list[Fault]:
    return [
        Fault(
            name,
            lambda shift=shift: stand.clock.move(shift),  # type: ignore[misc]
            lambda: stand.clock.move(timedelta()),
            processes=[stand.jumpy],
        )
        for name, shift in (
            ("clock jumps a day ahead", timedelta(days=1)),
            ("clock is set back a day", timedelta(days=-1)),
        )
    ]


def _moved(path: Path) -> tuple[Act, Act]:
    aside = path.with_name(path.name + ".aside")
    return lambda: path.replace(aside), lambda: aside.replace(path)


def _damaged(bundle: Bundle, path: Path) -> Path:
    """A copy whose model lost its last byte."""
    if not path.exists():
        shutil.copytree(bundle.path, path)
        weights = max(path.rglob("*.safetensors"), key=lambda file: file.stat().st_size)
        weights.write_bytes(weights.read_bytes()[:-1])
    return path


def _mixed(bundle: Bundle, other: Bundle, path: Path) -> Path:
    """One's parts under the other's manifest."""
    if not path.exists():
        shutil.copytree(bundle.path, path)
        shutil.copyfile(other.path / "manifest.json", path / "manifest.json")
    return path


def _limit_files(process: Process, most: int) -> None:
    """No file of the process may grow beyond so many bytes: what a full disk is to it."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, hard))


def _policy(expires: datetime | None = None, category: str | None = None) -> str:
    rules = [] if category is None else [{"name": "blocked", "kind": "block", "categories": [category]}]
    return json.dumps({"rules": rules} | ({} if expires is None else {"expires": expires.isoformat()}))


def _commonest(bundle: Bundle) -> str:
    counts = bundle.items["category"].value_counts().to_pylist()
    return str(max(counts, key=lambda count: count["counts"])["values"])


def _disconnect(process: Process, world: World, times: int) -> None:
    """Ask and go away before the answer."""
    body = json.dumps({"instances": [{"user_id": world.users[0], "slate_size": world.size}]}).encode()
    head = (
        f"POST /v1/models/higr:predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    for _ in range(times):
        with closing(socket.create_connection(("127.0.0.1", process.port), 5)) as connection:
            connection.sendall(head + body)


def _huge(process: Process, world: World) -> None:
    """The longest bodies that are taken, and some that are not, eight at once."""
    instance = {"user_id": world.users[0], "slate_size": world.size}
    one = json.dumps(instance)
    fill = json.dumps({"instances": [instance | {"constraints": {"exclude_items": ["x" * 60] * 500}}]})
    bodies = [
        b" " * (MAX_BODY_BYTES - 100) + json.dumps({"instances": [instance]}).encode(),
        b"[" * MAX_BODY_BYTES,
        b'{"instances": [' + b",".join([one.encode()] * (MAX_BODY_BYTES // (len(one) + 2))) + b"]}",
        fill.encode(),
        b"x" * (4 * MAX_BODY_BYTES),
    ]

    def send(body: bytes) -> None:
        with suppress(httpx.TransportError):  # refused in the middle of the body
            httpx.post(process.url, content=body, timeout=10, trust_env=False)

    threads = [threading.Thread(target=send, args=(body,)) for body in bodies for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
