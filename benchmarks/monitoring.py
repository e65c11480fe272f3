"""Does the drift job stay quiet in a quiet month, see each fault and name it, and keep up with the logs?

    python -m benchmarks.monitoring [--preset full|quick] [--out benchmarks/results/monitoring]

Every figure comes from `monitoring.watch`, the job that runs beside serving, on logs as serving writes them.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.machine import machine
from benchmarks.monitoring_trip import trips
from benchmarks.monitoring_world import FAULTS, Setting, make_setting
from benchmarks.pages import Tables, markdown, publish, terminal
from higr.data.population import DAY_MS, START_MS
from monitoring.act import Entry
from monitoring.columns import Segments
from monitoring.result import DriftResult
from monitoring.watch import Options, run_watch

OUT = Path("benchmarks/results/monitoring")
DAY = timedelta(days=1)
SEGMENT = "age"
LOUD = ("page", "trip")
TRIPPING = "codebook collapse"


@dataclass(frozen=True)
class Preset:
    """Size of the world, days of each part, trips, and least rows of the throughput run."""

    users: int
    items: int
    slates: int
    reference_days: int
    quiet_days: int
    fault_days: int
    trips: int
    rows: int


PRESETS = {
    "full": Preset(2000, 2000, 4000, 28, 28, 3, 10, 10_000_000),
    "quick": Preset(800, 1200, 1500, 28, 28, 2, 3, 1_000_000),
}
TARGETS = {"false_pages": 1, "trip_to_baseline_s": 10.0, "seconds_10m_rows": 120.0, "peak_gb": 4.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--throughput", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.throughput:
        _fold_only(arguments.throughput)
        return
    console, preset = Console(highlight=False), PRESETS[arguments.preset]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        setting = make_setting(Path(folder), preset.users, preset.items, preset.slates, arguments.seed)
        quiet = quiet_month(setting, preset, console)
        faults = [fault(setting, preset, name, console) for name in FAULTS]
        tripped = trip(setting, preset, console)
        throughput = measure_throughput(setting, preset, console)
    document = {
        "preset": arguments.preset,
        "seed": arguments.seed,
        "machine": machine(1),
        "quiet_month": quiet,
        "faults": faults,
        "trip": tripped,
        "throughput": throughput,
        "targets": TARGETS,
        "seconds": round(time.monotonic() - started, 1),
    }
    tables = _tables(document)
    for table in terminal(tables):
        console.print(table)
    publish(document, markdown(_head(document), tables), arguments.out)
    console.print(f"wrote {arguments.out}.json and .md")


def quiet_month(setting: Setting, preset: Preset, console: Console) -> dict[str, Any]:
    """A reference period, then a month that is like it: every page is a false one."""
    logs, state = setting.folder / "logs", setting.folder / "state"
    for day in range(preset.reference_days):
        setting.write(day, logs)
    verdicts: dict[str, int] = {}
    loud: list[dict[str, str | None]] = []
    _judge(setting, logs, state, preset.reference_days)
    shutil.copytree(state, setting.folder / "state-reference")
    for day in range(preset.reference_days, preset.reference_days + preset.quiet_days):
        setting.write(day, logs)
        result, _ = _judge(setting, logs, state, day + 1)
        verdicts[result.verdict] = verdicts.get(result.verdict, 0) + 1
        if result.verdict in LOUD:
            loud.append({"day": str(day), "cause": result.cause, "reason": result.reason})
        console.print(f"quiet day {day}: {result.verdict} {result.reason if result.verdict != 'ok' else ''}")
    return {
        "windows": preset.quiet_days,
        "false_pages": sum(verdicts.get(v, 0) for v in LOUD),
        "false_trips": verdicts.get("trip", 0),
        "verdicts": verdicts,
        "loud": loud,
    }


@contextmanager
def _broken(setting: Setting, name: str) -> Iterator[tuple[Setting, Any]]:
    """Logs and state of their own as at the end of the reference period, and what the fault changes."""
    own = Setting(setting.folder / "fault", setting.bundle, setting.traffic)
    shutil.rmtree(own.folder, ignore_errors=True)
    own.folder.mkdir()
    created = own.traffic.world.items.created.copy()
    shutil.copytree(setting.folder / "state-reference", own.folder / "state")
    try:
        yield own, FAULTS[name][1](own)
    finally:
        own.traffic.world.items.created[:] = created


def fault(setting: Setting, preset: Preset, name: str, console: Console) -> dict[str, Any]:
    """From the end of the reference period on, one thing is broken."""
    expected = FAULTS[name][0]
    found: dict[str, Any] = {"detected": False, "named_correctly": False, "windows_to_detect": None}
    with _broken(setting, name) as (own, change):
        for window in range(1, preset.fault_days + 1):
            day = preset.reference_days + window - 1
            own.write(day, own.folder / "logs", change)
            result, _ = _judge(own, own.folder / "logs", own.folder / "state", day + 1)
            console.print(f"{name}, window {window}: {result.verdict}, {result.cause}: {result.reason}")
            if result.verdict in LOUD:
                found = {
                    "detected": True,
                    "named_correctly": result.cause == expected,
                    "windows_to_detect": window,
                    "verdict": result.verdict,
                    "cause": result.cause,
                    "reason": result.reason,
                }
                break
    return {"fault": name, "cause_due": expected, **found}


def trip(setting: Setting, preset: Preset, console: Console) -> dict[str, Any]:
    """The codebook collapses; the job moves the switch of a service under traffic."""
    day = preset.reference_days
    with _broken(setting, TRIPPING) as (own, change):
        own.write(day, own.folder / "logs", change)

        def judge(switch: Path, number: int) -> tuple[DriftResult, Entry | None]:
            state = own.folder / f"state-{number}"
            shutil.copytree(own.folder / "state", state)
            return _judge(own, own.folder / "logs", state, day + 1, switch)

        found = trips(own.folder / "trip", judge, preset.trips)
    console.print(f"from a trip to the baseline's first slate: {found['max_s']:.2f} s at most")
    return found


def measure_throughput(setting: Setting, preset: Preset, console: Console) -> dict[str, Any]:
    """Rows of both logs, folded once, in a process of its own whose memory is then known.

    The days of one written day are repeated under other times and names until there are rows enough.
    """
    folder = setting.folder / "many"
    setting.write(0, folder / "one")
    tables = {
        log: pq.read_table(folder / "one" / log / "day-000.parquet") for log in ("predictions", "feedback")
    }
    each = sum(map(len, tables.values()))
    copies = -(-preset.rows // each)
    for n in range(copies):
        for log, table in tables.items():
            (folder / log).mkdir(exist_ok=True)
            pq.write_table(_copy(table, n), folder / log / f"part-{n:05d}.parquet", compression="zstd")
    (folder / "bundle.txt").write_text(str(setting.bundle.path))
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.monitoring", "--throughput", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - started
    peak, cpu = map(float, done.stdout.split()[-2:])
    state = sum(file.stat().st_size for file in (folder / "state").rglob("*") if file.is_file())
    console.print(f"{copies * each} rows in {seconds:.1f} s, peak {peak:.2f} GB")
    return {
        "rows": copies * each,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_gb": round(peak, 2),
        "rows_per_second": round(copies * each / seconds),
        "state_mb": round(state / 1e6, 1),
    }


def _fold_only(folder: Path) -> None:
    """In the child: one run over everything; prints its peak memory, GB, and processor seconds."""
    bundle = Path((folder / "bundle.txt").read_text())
    logs = (folder / "predictions", folder / "feedback")
    now = datetime.fromtimestamp(START_MS / 1000, UTC) + 40 * DAY
    run_watch(bundle, *logs, folder / "state", folder / "out", Options(), now=now)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"{used.ru_maxrss / 1e6} {used.ru_utime + used.ru_stime}\n")


def _copy(table: pa.Table, n: int) -> pa.Table:
    """Another month's part of the same day: keys and users of its own, 30 days to spread over."""
    day = n % 30
    stamps = table["timestamp"].cast(pa.int64()).to_numpy() % DAY_MS + START_MS + day * DAY_MS
    for name in ("request_id", "event_id"):
        if name in table.column_names:
            renamed = pa.compute.binary_join_element_wise(table[name], str(n), "-")
            table = table.set_column(table.column_names.index(name), table.schema.field(name), renamed)
    place = table.column_names.index("timestamp")
    field = table.schema.field("timestamp")
    return table.set_column(place, field, pa.array(stamps.astype(np.int64)).cast(field.type))


def _judge(
    setting: Setting, logs: Path, state: Path, day: int, switch: Path | None = None
) -> tuple[DriftResult, Entry | None]:
    """The job as it runs two hours after the end of the day before `day`."""
    now = datetime.fromtimestamp(START_MS / 1000, UTC) + day * DAY + timedelta(hours=2)
    segments = Segments.of(setting.traffic.world.users.table, SEGMENT)
    return run_watch(
        setting.bundle.path,
        logs / "predictions",
        logs / "feedback",
        state,
        setting.folder / "out",
        Options(segments=segments, switch=switch),
        now=now,
    )


def _head(document: dict[str, Any]) -> str:
    where = document["machine"]
    return (
        "# Monitoring: false alarms, faults, throughput\n\n"
        f"Preset {document['preset']}, seed {document['seed']}, {where['cpu']}, {where['cores']} cores, "
        f"{document['seconds']:.0f} s in all. Daily windows of simulated "
        "traffic with a weekly rhythm, judged as in production (`docs/monitoring.md`)."
    )


def _tables(document: dict[str, Any]) -> Tables:
    quiet, speed = document["quiet_month"], document["throughput"]
    yes = {True: "yes", False: "**no**"}
    return [
        (
            "Quiet month",
            [
                ("windows", "false pages", "of them trips", "target"),
                (
                    str(quiet["windows"]),
                    str(quiet["false_pages"]),
                    str(quiet["false_trips"]),
                    "at most 1 page",
                ),
            ],
        ),
        (
            "Faults",
            [
                ("fault", "detected", "named correctly", "windows to detect", "verdict", "named"),
                *(
                    (
                        row["fault"],
                        yes[row["detected"]],
                        yes[row["named_correctly"]],
                        str(row["windows_to_detect"] or "-"),
                        row.get("verdict", "-"),
                        row.get("cause") or "-",
                    )
                    for row in document["faults"]
                ),
            ],
        ),
        (
            "From a trip to the first slate of the baseline",
            [
                ("trips", "p50, s", "longest, s", "target", "requests meanwhile", "failed"),
                (
                    str(document["trip"]["trips"]),
                    f"{document['trip']['p50_s']:.3f}",
                    f"{document['trip']['max_s']:.3f}",
                    "under 10 s",
                    f"{document['trip']['slates']:,}",
                    str(document["trip"]["failed"]),
                ),
            ],
        ),
        (
            "Throughput",
            [
                ("rows", "seconds", "processor seconds", "rows a second", "peak, GB", "state, MB"),
                (
                    f"{speed['rows']:,}",
                    f"{speed['seconds']:.1f}",
                    f"{speed['cpu_seconds']:.1f}",
                    f"{speed['rows_per_second']:,}",
                    f"{speed['peak_gb']:.2f}",
                    f"{speed['state_mb']:.1f}",
                ),
            ],
        ),
    ]


if __name__ == "__main__":
    main()
