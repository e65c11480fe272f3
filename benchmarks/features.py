"""What it takes to read what is known of a user, in process: SQLite, and Redis where one is given.

    redis-server --port 6380 --save "" &
    python -m benchmarks.features [--redis redis://127.0.0.1:6380/0] [--users 1000]

served   as the transformer reads: the columns it needs, view by view, in a thread of its own
views    the same without thread and event loop
columns  these columns by get_online_features, in one round trip
service  every column of the service by get_online_features
turns    columns again where another store is open and its registry is read in between, that included

Push: twenty users' contexts read, extended by an event each, and written.
Writes benchmarks/results/features.json and .md.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.machine import machine
from feature_repo.online import READ_SECONDS
from feature_repo.store import materialise
from higr.config import DataConfig, load_config
from higr.data.prepare import prepare
from higr.data.recent import Recent, Seen
from higr.files import atomic_file, write_json
from serving.features import CONTEXT, FeastFeatures
from serving.online import OnlineStore

Read = Callable[[list[str]], Any]
RESULTS = Path(__file__).parent / "results"
WARM_UP = 100
PUSHES = 200
EVENTS = 20


@dataclass(frozen=True)
class Latency:
    """Attributes:
    store: SQLite or Redis.
    way: see the module.
    users: read by one call.
    late: calls over `READ_SECONDS`, where Redis is given up.
    """

    store: str
    way: str
    users: int
    p50_ms: float
    p99_ms: float
    calls: int
    late: int

    @classmethod
    def of(cls, store: str, way: str, users: int, seconds: Sequence[float]) -> "Latency":
        p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
        late = sum(value > READ_SECONDS for value in seconds)
        return cls(store, way, users, float(p50), float(p99), len(seconds), late)


def read_latency(
    store: str, folder: Path, user_ids: Sequence[str], at_once: int, calls: int
) -> list[Latency]:
    """Every way of reading `at_once` users of the store in `folder`, one after the other.

    Args:
        store: its name in the table.
    """
    return [
        Latency.of(store, way, at_once, _seconds(read, user_ids, at_once, calls))
        for way, read in _ways(folder).items()
    ]


def fetch_latency(store: str, features: FeastFeatures, user_ids: Sequence[str], calls: int) -> Latency:
    """Of what the transformer waits for, one user a call."""
    with asyncio.Runner() as runner:
        seconds = _seconds(lambda users: runner.run(features.read(users, 60)), user_ids, 1, calls)
    return Latency.of(store, "served", 1, seconds)


def _seconds(read: Read, user_ids: Sequence[str], at_once: int, calls: int) -> list[float]:
    taken = []
    for call in range(WARM_UP + calls):
        users = [user_ids[(call * at_once + n) % len(user_ids)] for n in range(at_once)]
        started = time.perf_counter()
        with suppress(TimeoutError, OSError):
            read(users)
        taken.append(time.perf_counter() - started)
    return taken[WARM_UP:]


def _ways(folder: Path) -> dict[str, Read]:
    from feast import FeatureStore

    store, other = (FeatureStore(repo_path=str(folder)) for _ in range(2))
    service = store.get_feature_service("user_context_v2")
    columns = ["user_context:context_item_ids", "user_context:context_feedback", "user_profile:profile_json"]
    own, features, runner = OnlineStore(folder), FeastFeatures(folder), asyncio.Runner()
    features.warm_up()

    def by_service(users: list[str]) -> None:
        rows = [{"user_id": user} for user in users]
        store.get_online_features(features=service, entity_rows=rows).to_dict()

    def by_columns(users: list[str]) -> None:
        rows = [{"user_id": user} for user in users]
        store.get_online_features(features=columns, entity_rows=rows).to_dict()

    def in_turns(users: list[str]) -> None:
        by_columns(users)
        other.get_feature_view("user_context")

    return {
        "served": lambda users: runner.run(features.read(users, 60)),
        "views": lambda users: own.users(CONTEXT, users),
        "columns": by_columns,
        "service": by_service,
        "turns": in_turns,
    }


def push_latency(store: str, folder: Path, user_ids: Sequence[str], config: DataConfig) -> Latency:
    """Read, extend and write `EVENTS` users, one event each."""
    own = OnlineStore(folder, writes=True)

    def push(users: list[str]) -> None:
        now = datetime.now(UTC)
        event = Seen(round(now.timestamp() * 1000), 1, f"item-{now}", 2)
        rows = own.users(list(Recent().columns()), users)
        kept = [Recent.of(row.columns).extended([event], config).columns() for row in rows]
        own.write_contexts({user: (now, columns) for user, columns in zip(users, kept, strict=True)})

    return Latency.of(store, "push", EVENTS, _seconds(push, user_ids, EVENTS, PUSHES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--redis", metavar="URL", help="measure this one too; its database is written to")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=2000, help="of one user; of 32 a tenth")
    options = parser.parse_args()
    config = load_config("demo", {"data.simulator.users": options.users}).data
    rows: list[Latency] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepare(config, 0)
        data.save(folder / "data")
        users = data.users["user_id"].to_pylist()
        for store, online in (("SQLite", None), ("Redis", options.redis)):
            if store == "Redis" and online is None:
                continue
            materialise(folder / "data", folder / store, config, online)
            rows += read_latency(store, folder / store, users, 1, options.calls)
            rows += read_latency(store, folder / store, users, 32, options.calls // 10)
            rows.append(push_latency(store, folder / store, users, config))
    _write(rows, options.users)


def _write(rows: Sequence[Latency], users: int) -> None:
    lines = ["| store | way | users a call | p50 ms | p99 ms | late |", "|---|---|---:|---:|---:|---:|"]
    lines += [
        f"| {r.store} | {r.way} | {r.users} | {r.p50_ms:.2f} | {r.p99_ms:.2f} | {r.late} of {r.calls} |"
        for r in rows
    ]
    text = "\n".join([f"Simulator, {users} users, one thread; Redis on loopback.", "", *lines, ""])
    RESULTS.mkdir(exist_ok=True)
    write_json(
        RESULTS / "features.json",
        {"machine": machine(1), "users": users, "rows": [asdict(row) for row in rows]},
    )
    with atomic_file(RESULTS / "features.md") as aside:
        aside.write_text(text)
    Console(markup=False, highlight=False).print(text)


if __name__ == "__main__":
    main()
