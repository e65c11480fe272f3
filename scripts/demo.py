"""The main job, end to end: exposure logs -> bundle -> served slates -> a broken predictor -> a drift report.

Run by `make demo`. Nothing here is a second implementation: it calls the pipeline, starts the
servers, asks the endpoint and runs the drift job, each as its user would, and prints what came back.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Column, Table
from servers import Serving

from higr.config import load_config
from higr.data.logs import FEEDBACK
from higr.data.prepared import PreparedData
from higr.errors import HigrError
from higr.evaluation.results import Evaluation
from higr.evaluation.terminal import table as quality_table
from higr.evaluation.verdict import verdict
from higr.files import read_json, write_table
from monitoring.result import DriftResult
from pipelines.local import LocalRun, PipelineError
from pipelines.local import run as run_pipeline
from pipelines.publish import publish, publish_reports

VISITS = 400
"""Users of the test period whose visits are replayed against the server, at most."""
BATCH = 16
"""Slates asked for in one request."""

console = Console(highlight=False)


def main() -> None:
    arguments = _arguments()
    started = time.monotonic()
    run: Path = arguments.run
    config = load_config(arguments.config, {"data.path": str(arguments.data)} if arguments.data else None)
    console.rule(f"[bold]HiGR demo: {config.data.source}", align="left")
    done = run_pipeline(config, run, Console(stderr=True))
    publish(done, config, run)
    data = PreparedData.load(done.artifacts["data"])
    for folder in ("demo-predictions", "demo-feedback", "drift"):
        shutil.rmtree(run / folder, ignore_errors=True)
    watch = _typical_watch(data)

    console.print(
        "\n[bold]Serving[/]: a transformer and a predictor, two processes, as the chart deploys them"
    )
    known = _most_frequent_user(data)
    with Serving(run) as serving:
        answers = {
            f"known user {known}": serving.ask([{"user_id": known}])[0],
            "unknown user": serving.ask([{"user_id": "never seen before"}])[0],
        }
        visitors = _visitors(data)
        seconds = time.monotonic()
        for first in range(0, len(visitors), BATCH):
            serving.ask([{"user_id": user} for user in visitors[first : first + BATCH]])
        seconds = time.monotonic() - seconds
        console.print(
            f"replayed {len(visitors)} visits of the test period in requests of {BATCH}: "
            f"{len(visitors) / seconds:.0f} slates a second"
        )
        serving.stop("predictor", signal.SIGKILL)
        console.print("killed the predictor; the same user asks again")
        answers[f"known user {known}, predictor dead"] = serving.ask([{"user_id": known}])[0]
        console.print("[dim]watched: seconds that people usually watch the item, in the training period[/]")
        for title, answer in answers.items():
            _print_slate(title, answer, watch)
    _check(answers, known, config.decode.slate_size)

    _write_feedback(data, run / "demo-feedback")
    console.print(
        "\n[bold]Drift[/]: the slates served just now, and the log's test period as their feedback,"
    )
    console.print("against the bundle's reference (its validation period)")
    drift = [sys.executable, "-m", "monitoring", "drift", "--bundle", str(run / "bundle")]
    logs = ["--predictions", str(run / "demo-predictions"), "--feedback", str(run / "demo-feedback")]
    subprocess.run([*drift, *logs, "--out", str(run / "drift")], check=True)
    _print_page(run / "drift")

    _summary(done, run, time.monotonic() - started)
    if arguments.keep:
        subprocess.run(["make", "serve", f"RUN={run}"], check=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="demo", help="preset or YAML file")
    parser.add_argument("--data", type=Path, help="folder of the source's files")
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="directory of this run")
    parser.add_argument(
        "--keep", action="store_true", help="serve on port 8080 at the end, until interrupted"
    )
    return parser.parse_args()


def _most_frequent_user(data: PreparedData) -> str:
    """The user with most test slates; the smallest id among equals."""
    counts = pc.value_counts(data.split("test")["user_id"].combine_chunks()).to_pylist()
    return str(min(counts, key=lambda row: (-row["counts"], row["values"]))["values"])


def _visitors(data: PreparedData) -> list[str]:
    """Users of the test period in the order of their first slate."""
    users: list[str] = data.split("test")["user_id"].unique().to_pylist()
    return users[:VISITS]


def _typical_watch(data: PreparedData) -> dict[str, float]:
    """Mean watch seconds of each item in the training period, where the log has them."""
    watched = data.train_events.filter(pc.is_valid(data.train_events["watch_seconds"]))
    means = watched.group_by("item_id").aggregate([("watch_seconds", "mean")])
    return dict(zip(means["item_id"].to_pylist(), means["watch_seconds_mean"].to_pylist(), strict=True))


def _write_feedback(data: PreparedData, folder: Path) -> None:
    """The log's own test period as the feedback log of the current window."""
    moment = data.events["timestamp"].type
    start = pa.scalar(data.report["test_start"]).cast(moment)
    events = data.events.filter(pc.greater_equal(data.events["timestamp"], start))
    ids = pa.array([f"event-{n}" for n in range(events.num_rows)])
    table = events.append_column("event_id", ids).select(FEEDBACK.names).cast(FEEDBACK)
    write_table(folder / "part-0.parquet", table)


def _print_slate(title: str, answer: dict[str, Any], watch: dict[str, float]) -> None:
    reason = f", because {answer['fallback_reason']}" if answer["fallback_reason"] else ""
    table = Table(title=f"{title}: by {answer['source']}{reason}", title_justify="left", title_style="bold")
    for column in ("#", "title", "category"):
        table.add_column(column)
    for column in ("length", "watched", "semantic ID"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in answer["items"]:
        seconds = watch.get(item["item_id"])
        table.add_row(
            str(item["position"]),
            item["title"] or f"item {item['item_id']}",
            item["category"],
            f"{item['duration_seconds']:.0f} s" if item["duration_seconds"] else "",
            f"{seconds:.0f} s" if seconds is not None else "",
            "-".join(str(code) for code in item["semantic_id"]),
        )
    console.print(table)


def _print_page(drift: Path) -> None:
    """What would be sent to whoever is on call."""
    found = DriftResult.load(drift / "drift.json")
    sent = found.verdict in ("page", "trip")
    console.print(f"\n[bold]The page it would send[/]{'' if sent else ' if it paged; it does not'}:")
    console.print(f"  [HiGR drift] {found.verdict}: {found.reason}", soft_wrap=True, markup=False)
    console.print(f"  report {drift / 'drift.html'}, runbook docs/runbooks/drift.md", soft_wrap=True)


def _check(answers: dict[str, dict[str, Any]], known: str, size: int) -> None:
    """The demo fails where the promise fails."""
    for title, answer in answers.items():
        ids = [item["item_id"] for item in answer["items"]]
        if len(ids) != size or len(set(ids)) != size:
            raise HigrError(f"slate of {title} is short or repeats an item: {ids}")
    if answers[f"known user {known}"]["source"] != "higr":
        raise HigrError("the healthy server answered from a fallback; see predictor.log in the run")
    if answers[f"known user {known}, predictor dead"]["source"] == "higr":
        raise HigrError("the predictor was killed but its slate still came")


def _summary(done: LocalRun, run: Path, seconds: float) -> None:
    console.print()
    console.rule("[bold]Summary", align="left")
    stages = Table("stage", Column("seconds", justify="right"), title="Stages", title_justify="left")
    for stage in done.stages:
        stages.add_row(stage.name + (" (from the cache)" if stage.cached else ""), f"{stage.seconds:.1f}")
    console.print(stages)
    evaluation = Evaluation.load(run)
    console.print(quality_table(evaluation))
    for rival in ("popularity", "incumbent"):
        console.print(verdict(evaluation, rival).headline)
    version = read_json(run / "bundle" / "manifest.json")["version"]
    paths = Table(show_header=False, box=None)
    for name, path in (
        (f"bundle {version}", "bundle"),
        ("semantic IDs", "reports/tokenizer.html"),
        ("preference pairs", "reports/pairs.html"),
        ("evaluation", "reports/evaluation.html"),
        ("drift", "drift/drift.html"),
        ("drift gauges", "drift/drift.prom"),
        ("logs", "pipeline.log"),
    ):
        paths.add_row(name, str(run / path))
    console.print("\n[bold]Look at", paths)
    console.print(f"\nKeep it running:  make serve RUN={run}")
    console.print(
        "Then ask:         curl -s localhost:8080/v1/models/higr:predict -H 'content-type: application/json' "
        '-d \'{"instances": [{"user_id": "me"}]}\'',
        soft_wrap=True,
    )
    console.print(f"\nDone in {seconds / 60:.1f} minutes.")


if __name__ == "__main__":
    try:
        main()
    except PipelineError as error:
        for page in publish_reports(error.reports, _arguments().run):
            console.print(f"see {page}")
        sys.stderr.write(f"demo: {error}\n")
        sys.exit(2 if error.mendable else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except HigrError as error:
        sys.stderr.write(f"demo: {error}\n")
        sys.exit(2)
