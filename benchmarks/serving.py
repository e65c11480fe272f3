"""The endpoint under load and under faults, on loopback: real processes, real Redis.

    python -m benchmarks.serving [--preset full|quick] [--work runs/serving]

A bundle of size `small` (5 million parameters, slates of ten), features in SQLite and in Redis.

    saturation  slates of HiGR a second that 16 connections get which ask again as soon as they are answered
    load        Poisson arrivals at shares of that, up to three times of it
    overhead    one request at a time: the service's time beside that of its decoder alone, in turns
    features    one user's features, read as the transformer reads them
    fallback    the switch on baseline: slates of the incumbent
    faults      what `benchmarks.serving_faults` breaks and heals, at a third of the saturation
    fuzz        bodies and bytes that no client should send (`benchmarks.serving_fuzz`)

Writes benchmarks/results/serving.json and .md. Client and server share the machine's cores.
"""

import argparse
import asyncio
import http.client
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from benchmarks import pages
from benchmarks.load import Load, summary
from benchmarks.machine import machine
from benchmarks.serving_faults import DEADLINE_MS, Stand, faults, measure, unlogged
from benchmarks.serving_fuzz import fuzz
from benchmarks.serving_world import Process, Redis, World, free_port, make_world
from higr.decode.recommender import HiGRRecommender
from higr.decode.request import SlateRequest
from higr.errors import HigrError
from serving.features import FeastFeatures

RESULTS = Path(__file__).parent / "results"
SHARES = (0.35, 0.7, 1.0, 3.0)
"""Of the saturation."""
CONNECTIONS = 16
FAULT_SHARE = 1 / 3


@dataclass(frozen=True)
class Preset:
    """Attributes:
    load: seconds a row of the load table.
    asked: requests, one at a time, of the other tables.
    fault: seconds a fault.
    inputs: of the fuzz.
    """

    load: float
    asked: int
    fault: float
    inputs: int


PRESETS = {"full": Preset(60, 2000, 24, 20_000), "quick": Preset(8, 300, 10, 1_000)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--work", type=Path, default=Path("runs/serving"))
    parser.add_argument("--only", nargs="+", help="names of faults: print their rows, write nothing")
    arguments = parser.parse_args()
    if shutil.which("redis-server") is None:
        sys.exit("benchmarks.serving: no redis-server here; install it with `make system-deps`")
    preset = PRESETS[arguments.preset]
    work = arguments.work.resolve()  # links in it lead to other places in it
    torch.set_num_threads(1)
    try:
        world = make_world(work / "world")
        if arguments.only:
            Console().print(faults_and_logs(world, work, preset, arguments.only))
            return
        document = {"machine": machine(threads=1), "preset": arguments.preset}
        document |= measured(world, work, preset)
    except HigrError as error:
        sys.exit(f"benchmarks.serving: {error}")
    path = RESULTS / ("serving" if arguments.preset == "full" else "serving-quick")
    pages.publish(document, pages.markdown(_head(document), _tables(document)), path)
    for table in pages.terminal(_tables(document)):
        Console(width=150).print(table)


def measured(world: World, work: Path, preset: Preset) -> dict[str, Any]:
    """The document but for machine and preset."""
    made: dict[str, Any] = {"load": [], "overhead": {}}
    with _fresh(work / "load") as folder, _redis(folder) as redis:
        for store, online in (("sqlite", None), ("redis", redis.url)):
            features = world.store(folder / f"features-{store}", online)
            with _process(world, folder, features) as process:
                made["overhead"][store] = {
                    "start_to_ready_s": process.wait(),
                    **overhead(world, process, features, preset),
                }
                made["load"] += load_rows(world, process, store, preset)
                made["overhead"][store] |= fallback(world, process, folder, preset)
        found = fuzz_row(world, folder, features, preset)
    return made | faults_and_logs(world, work, preset) | {"fuzz": found}


def fuzz_row(world: World, folder: Path, features: Path, preset: Preset) -> dict[str, int]:
    """Over HTTP and gRPC, feedback too."""
    grpc_port = free_port()
    extra = ["--grpc-port", str(grpc_port), "--feedback-dir", str(folder / "feedback")]
    with _process(world, folder, features, extra) as process:
        process.wait()
        found = fuzz(process.port, preset.inputs, grpc_port=grpc_port)
    return {name: found[name] for name in ("inputs", "server_errors", "hangs", "leaks", "unnamed")}


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder


@contextmanager
def _redis(folder: Path) -> Iterator[Redis]:
    redis = Redis(folder).start()
    try:
        yield redis
    finally:
        redis.stop()


@contextmanager
def _process(world: World, folder: Path, features: Path, extra: Sequence[str] = ()) -> Iterator[Process]:
    """Transformer and predictor in one process."""
    (folder / "switch").write_text("auto")
    process = Process(
        folder,
        "higr",
        [
            *["--bundle", str(world.bundle.path), "--features", str(features)],
            *["--log-dir", str(folder / "predictions"), "--switch", str(folder / "switch")],
            *["--deadline-ms", str(DEADLINE_MS), *extra],
        ],
    ).start()
    try:
        yield process
    finally:
        process.stop()


def fallback(world: World, process: Process, folder: Path, preset: Preset) -> dict[str, float]:
    """Slates of the incumbent, one request at a time, in ms."""
    (folder / "switch").write_text("baseline")
    load = Load([process.url], world.size, world.users, seed=1)
    answers, _ = asyncio.run(load.closed(1, preset.load / 4))
    row = summary([answer for answer in answers if answer.source == "baseline"])
    (folder / "switch").write_text("auto")
    return {"fallback_p50_ms": row["p50_ms"], "fallback_p99_ms": row["p99_ms"]}


def load_rows(world: World, process: Process, store: str, preset: Preset) -> list[dict[str, Any]]:
    """The saturation first; the other rates are shares of it."""
    load = Load([process.url], world.size, world.users, seed=0)
    asyncio.run(load.closed(CONNECTIONS, preset.load / 4))  # whatever is paid once is paid
    answers, seconds = asyncio.run(load.closed(CONNECTIONS, preset.load))
    full = sum(answer.source == "higr" for answer in answers) / seconds
    rows = [{"store": store, "share": None, "rps": len(answers) / seconds, **summary(answers)}]
    for share in SHARES:
        answers = asyncio.run(load.open(share * full, preset.load))
        rows.append({"store": store, "share": share, "rps": share * full, **summary(answers)})
    return rows


def overhead(world: World, process: Process, features: Path, preset: Preset) -> dict[str, Any]:
    """Times of one request at a time, in ms. The decoder's own is of the same slate in this process.

    Asked with the standard library's client, whose own share of a request is small.
    """
    recommender = HiGRRecommender.from_bundle(world.bundle)
    source = FeastFeatures(features)
    source.warm_up()
    times: dict[str, list[float]] = {"service": [], "decoder": [], "features": []}
    path = urlsplit(process.url).path
    with closing(http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)) as client:
        for number in range(preset.asked + 20):
            user = world.users[number % len(world.users)]
            begun = time.perf_counter()
            body = json.dumps({"instances": [{"user_id": user, "slate_size": world.size}]})
            client.request("POST", path, body, {"Content-Type": "application/json"})
            answer = client.getresponse()
            text = answer.read()
            served = time.perf_counter()
            (known,) = asyncio.run(source.read([user], 1.0))
            read = time.perf_counter()
            recommender.decode([SlateRequest(known.context, world.size)])
            decoded = time.perf_counter()
            if answer.status != 200 or known.degraded is not None:
                raise HigrError(f"user {user}: {answer.status} {text[:200]!r}, {known.degraded}")
            if number >= 20:
                times["service"].append(served - begun)
                times["features"].append(read - served)
                times["decoder"].append(decoded - read)
    source.close()
    found = {
        f"{name}_{label}": float(np.percentile(values, q) * 1000)
        for name, values in times.items()
        for label, q in (("p50_ms", 50), ("p99_ms", 99))
    }
    ratios = np.array(times["service"]) / np.array(times["decoder"])
    return found | {"service_over_decoder": float(np.median(ratios))}


def faults_and_logs(
    world: World, work: Path, preset: Preset, only: list[str] | None = None
) -> dict[str, Any]:
    """One fault after the other on the same processes: what one leaves behind the next one meets."""
    other = world.bundle_of("other", seed=1)
    rows: list[dict[str, Any]] = []
    answered: set[str] = set()
    with _fresh(work / "faults") as folder, _redis(folder) as redis:
        stand = Stand(world, folder, redis, world.store(folder / "features", redis.url))
        try:
            load = Load([replica.url for replica in stand.replicas], world.size, world.users, seed=0)
            answers, seconds = asyncio.run(load.closed(CONNECTIONS, preset.fault / 2))
            rps = FAULT_SHARE * sum(answer.source == "higr" for answer in answers) / seconds
            planned = [fault for fault in faults(stand, other) if only is None or fault.name in only]
            for seed, fault in enumerate(track(planned, "faults", disable=not sys.stderr.isatty())):
                row, ids = measure(stand, fault, rps, preset.fault, seed)
                rows.append(row)
                answered |= ids
        finally:
            stand.close()
        lost = unlogged(stand, answered)
        sent = answered - stand.sink.taken
    return {
        "faults": rows,
        "logs": {"answered": len(answered), "not_logged": len(lost), "not_sent_to_the_sink": len(sent)},
    }


def _head(document: dict[str, Any]) -> str:
    machine = document["machine"]
    return (
        f"Preset `{document['preset']}`; {machine['cpu']}, {machine['cores']} cores shared by client, server "
        f"and Redis, torch {machine['torch']}; a bundle of 5 million parameters, slates of ten, deadline "
        f"{DEADLINE_MS} ms. Made by `make bench-serving`."
    )


def _tables(document: dict[str, Any]) -> pages.Tables:
    load = [
        ("store", "load", "requests/s", "p50, ms", "p99, ms", "p99 / p50", "errors", "short", "made by"),
        *(
            (
                row["store"],
                "16 connections" if row["share"] is None else f"{row['share']:.2f} of saturation",
                f"{row['rps']:.0f}",
                f"{row['p50_ms']:.1f}",
                f"{row['p99_ms']:.1f}",
                f"{row['p99_ms'] / row['p50_ms']:.2f}",
                str(row["errors"]),
                str(row["empty_or_short"]),
                _shares(row["sources"]),
            )
            for row in document["load"]
        ),
    ]
    overhead = [
        ("store", *next(iter(document["overhead"].values()))),
        *(
            (store, *(f"{value:.2f}" for value in row.values()))
            for store, row in document["overhead"].items()
        ),
    ]
    faults = [
        ("fault", "requests", "failed", "short", "p99, ms", "recovery, s", "made by"),
        *(
            (
                row["fault"],
                str(row["requests"]),
                str(row["failed"]),
                str(row["short"]),
                f"{row['p99_ms']:.0f}",
                "never" if row["recovery_s"] is None else f"{row['recovery_s']:.1f}",
                _shares(row["sources"]),
            )
            for row in document["faults"]
        ),
    ]
    fuzz = [tuple(document["fuzz"]), tuple(f"{count:,}" for count in document["fuzz"].values())]
    logs = [tuple(document["logs"]), tuple(f"{count:,}" for count in document["logs"].values())]
    return [
        ("Load", load),
        ("One request at a time", overhead),
        ("Faults", faults),
        ("Requests of the faults in the logs", logs),
        ("Fuzz", fuzz),
    ]


def _shares(sources: dict[str, int]) -> str:
    total = sum(sources.values())
    return ", ".join(
        f"{name} {count / total:.1%}" for name, count in sorted(sources.items(), key=lambda p: -p[1])
    )


if __name__ == "__main__":
    main()
