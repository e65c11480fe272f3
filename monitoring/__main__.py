"""`python -m monitoring ...`: one command a job of monitoring.

A verdict is data: exit code 0 whatever it says, 2 for bad input.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from higr.errors import HigrError, InputError
from higr.files import atomic_file
from monitoring.alerting.settings import RuleSettings
from monitoring.result import DriftResult

STYLES = {
    "ok": "green",
    "no-data": "magenta",
    "watch": "yellow",
    "page": "bold red",
    "trip": "bold white on red",
}
SHOWN_SIGNALS = 12

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Drift of served slates and of their reception."
)


@app.command()
def drift(
    bundle: Annotated[Path, typer.Option(help="The bundle that serves; its reference is compared against.")],
    predictions: Annotated[Path, typer.Option(help="Directory of the prediction log's Parquet parts.")],
    feedback: Annotated[Path, typer.Option(help="Directory of the feedback log's Parquet parts.")],
    out: Annotated[Path, typer.Option(help="Where drift.html, drift.json and drift.prom go.")],
    since: Annotated[
        str | None, typer.Option(help="First moment, ISO 8601; UTC where no zone is given.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="End, not included; as --since.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare a window of the logs with the bundle's reference and write the verdict."""
    from monitoring.job import run_drift
    from monitoring.parts import Period

    period = Period(_moment("--since", since), _moment("--until", until))
    result = run_drift(bundle, predictions, feedback, out, period=period)
    if as_json:
        sys.stdout.write(json.dumps(result.model_dump(mode="json")) + "\n")
        return
    console = Console()
    console.print(_table(result))
    console.print(
        f"verdict [{STYLES[result.verdict]}]{result.verdict}[/]: {result.reason}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"page    {out / 'drift.html'}", highlight=False, soft_wrap=True)


@app.command()
def watch(
    bundle: Annotated[Path, typer.Option(help="The bundle that serves.")],
    predictions: Annotated[Path, typer.Option(help="Directory of the prediction log's Parquet parts.")],
    feedback: Annotated[Path, typer.Option(help="Directory of the feedback log's Parquet parts.")],
    state: Annotated[Path, typer.Option(help="What the job keeps between its runs; a folder of its own.")],
    out: Annotated[Path, typer.Option(help="Where drift.html, drift.json and drift.prom go.")],
    hours: Annotated[int, typer.Option(help="Length of a window: 1 to 24 hours, or whole days.", min=1)] = 24,
    settle: Annotated[int, typer.Option(help="Hours after its end that a window is judged.", min=0)] = 1,
    reference_days: Annotated[int, typer.Option(help="First days of the state: the reference.", min=1)] = 28,
    reference_since: Annotated[
        str | None, typer.Option(help="Or the reference's first moment, ISO 8601.")
    ] = None,
    reference_until: Annotated[str | None, typer.Option(help="And its end, not included.")] = None,
    weekday: Annotated[bool, typer.Option(help="Compare with days of the same weekday.")] = True,
    users: Annotated[
        Path | None, typer.Option(help="Parquet file of the users' profiles, for --segment.")
    ] = None,
    segment: Annotated[str | None, typer.Option(help="Profile field to look at by its values.")] = None,
    switch: Annotated[
        str | None,
        typer.Option(
            help="Switch that a trip moves: a file, or configmap:NAMESPACE/NAME; none: nothing is moved."
        ),
    ] = None,
    trips: Annotated[int, typer.Option(help="Windows in a row that must trip.", min=1)] = 1,
    releases: Annotated[
        int,
        typer.Option(
            help="Quiet windows in a row after which the switch goes back; 0: a person does it.", min=0
        ),
    ] = 0,
    cool_down: Annotated[float, typer.Option(help="Hours without a trip after it went back.", min=0)] = 6.0,
    pipeline: Annotated[
        Path | None, typer.Option(help="JSON: which pipeline a trip starts, and where.")
    ] = None,
    pushgateway: Annotated[str | None, typer.Option(help="host:port that takes the metrics.")] = None,
    now: Annotated[str | None, typer.Option(help="Judge as of this moment, ISO 8601; for replays.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Read what is new of the logs, judge the last whole window, and act on it. Run it every hour."""
    from datetime import timedelta

    from higr.files import read_table
    from monitoring.act import Rules, lever
    from monitoring.columns import Segments
    from monitoring.pipeline import PipelineTarget
    from monitoring.watch import Options, run_watch

    if (users is None) != (segment is None):
        raise InputError("--users and --segment go together: give both or neither")
    if (reference_since is None) != (reference_until is None):
        raise InputError("--reference-since and --reference-until go together: give both or neither")
    first, end = _moment("--reference-since", reference_since), _moment("--reference-until", reference_until)
    options = Options(
        hours=hours,
        settle_hours=settle,
        reference_days=reference_days,
        reference=(first, end) if first and end else None,
        weekday=weekday,
        segments=Segments.of(read_table(users), segment) if users and segment else Segments(),
        switch=lever(switch) if switch else None,
        rules=Rules(trips, releases, timedelta(hours=cool_down)),
        pipeline=PipelineTarget.load(pipeline) if pipeline else None,
        pushgateway=pushgateway,
    )
    result, entry = run_watch(bundle, predictions, feedback, state, out, options, now=_moment("--now", now))
    if as_json:
        sys.stdout.write(json.dumps(result.model_dump(mode="json")) + "\n")
        return
    console = Console()
    if result.signals:
        console.print(_signals(result))
    cause = f" ({result.cause})" if result.cause else ""
    console.print(
        f"verdict [{STYLES[result.verdict]}]{result.verdict}[/]{cause}: {result.reason}",
        highlight=False,
        soft_wrap=True,
    )
    if result.since:
        console.print(f"since   {result.since:%Y-%m-%d %H:%M} UTC", highlight=False)
    if entry:
        moved = f" from {entry.was} to {entry.to}" if entry.to else ""
        console.print(f"switch  {entry.action}{moved} {entry.note}", highlight=False, soft_wrap=True)
    console.print(f"page    {out / 'drift.html'}", highlight=False, soft_wrap=True)


@app.command(name="switch")
def move_switch(
    to: Annotated[str, typer.Argument(help="auto, higr or baseline.")],
    switch: Annotated[
        str, typer.Option(help="The switch: the file that serving reads, or configmap:NAMESPACE/NAME.")
    ],
    record: Annotated[Path, typer.Option(help="The record, switch.jsonl in the job's state.")],
    by: Annotated[str, typer.Option(help="Who you are.")],
    why: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Move the switch by hand, and write it into the record of its moves."""
    from monitoring.act import POSITIONS, Record, lever, override

    if to not in POSITIONS:
        raise InputError(f"no position {to!r}; it must be one of {', '.join(POSITIONS)}")
    entry = override(lever(switch), Record(record), to, by, why, datetime.now(UTC))  # type: ignore[arg-type]
    Console().print(f"switch moved from {entry.was} to {entry.to}", highlight=False)


@app.command()
def export(
    result: Annotated[Path, typer.Option(help="The drift.json to export; re-read at every scrape.")],
    port: Annotated[int, typer.Option(help="Port of /metrics.", min=1, max=65535)] = 9105,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
) -> None:
    """Serve the gauges of the latest result for Prometheus until stopped."""
    from monitoring.exporter import serve

    try:
        serve(result, port, address)
    except OSError as error:
        raise InputError(
            f"cannot listen on {address}:{port} ({error.strerror}); choose another --port"
        ) from None


@app.command()
def outcomes(
    bundle: Annotated[Path, typer.Option(help="A bundle that serves: its policy says what is effective.")],
    predictions: Annotated[
        list[Path], typer.Option(help="Directory of a prediction log's Parquet parts; may be repeated.")
    ],
    feedback: Annotated[
        list[Path], typer.Option(help="Directory of a feedback log's Parquet parts; may be repeated.")
    ],
    settle: Annotated[float, typer.Option(help="Seconds a slate's feedback is waited for.", min=0.1)] = 900.0,
    every: Annotated[float, typer.Option(help="Seconds between two looks at the logs.", min=0.1)] = 15.0,
    port: Annotated[int, typer.Option(help="Port of /metrics.", min=1, max=65535)] = 9106,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
) -> None:
    """Count how slates were received, by the bundle that made them, until stopped; a rollout reads it."""
    from higr.bundle import Bundle
    from monitoring.received import Received
    from monitoring.received_exporter import serve

    received = Received(Bundle.open(bundle), predictions, feedback, settle, datetime.now(UTC).timestamp())
    try:
        serve(received, every, port, address)
    except OSError as error:
        raise InputError(
            f"cannot listen on {address}:{port} ({error.strerror}); choose another --port"
        ) from None


@app.command()
def job(
    task: Annotated[str, typer.Option(help="Name of the job, such as features, drift or train.")],
    period: Annotated[float, typer.Option(help="Seconds between two runs, as scheduled.")],
    gateway: Annotated[str, typer.Option(help="HOST:PORT or URL of the Pushgateway.")],
    command: Annotated[list[str], typer.Argument(help="What to run, after --.")],
) -> None:
    """Run a command and tell a Pushgateway how it ended; ends as the command does."""
    from monitoring.jobs import watched

    raise typer.Exit(watched(gateway, task, period, command))


Settings = Annotated[
    Path | None,
    typer.Option("--config", help="YAML of what is to be other than usual; see docs/alerting.md."),
]


@app.command()
def rules(
    out: Annotated[Path, typer.Option(help="Where the rule files go.")] = Path("monitoring/rules"),
    config: Settings = None,
) -> None:
    """Write Prometheus' recording and alerting rules."""
    from monitoring.alerting.files import documents

    _write(documents, config, out)


@app.command()
def dashboards(
    out: Annotated[Path, typer.Option(help="Where the JSON files go.")] = Path("monitoring/dashboards"),
    config: Settings = None,
) -> None:
    """Write Grafana's dashboards."""
    from monitoring.grafana.files import documents

    _write(documents, config, out)


def _write(documents: Callable[[RuleSettings], dict[str, str]], config: Path | None, out: Path) -> None:
    """Each file aside, then renamed; its path on a line of its own."""
    from monitoring.alerting.settings import read_settings

    texts = documents(read_settings(config))
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with atomic_file(out / name) as aside:
                aside.write_text(text)
            typer.echo(out / name)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}); give another --out") from None


def _table(result: DriftResult) -> Table:
    table = Table(Column("column", no_wrap=True), "verdict", "PSI", "watch", "page", "rows before", "now")
    for c in result.columns:
        figures = [f"{v:.3f}" if v is not None else "-" for v in (c.psi, c.watch, c.page)]
        verdict = f"[{STYLES[c.verdict]}]{c.verdict}[/]"
        table.add_row(c.column, verdict, *figures, f"{c.rows_reference:,}", f"{c.rows_current:,}")
    return table


def _signals(result: DriftResult) -> Table:
    table = Table(Column("figure", no_wrap=True), "verdict", "expected", "now", "move", "page at", "since")
    for s in result.signals[:SHOWN_SIGNALS]:
        verdict = f"[{STYLES[s.verdict]}]{s.verdict}[/]"
        since = f"{s.since:%m-%d %H:%M}" if s.since else ""
        table.add_row(
            s.signal, verdict, f"{s.expected:.3g}", f"{s.now:.3g}", f"{s.move:+.3f}", f"{s.page:.3f}", since
        )
    return table


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} {text!r} is not ISO 8601; give it as 2026-01-31T00:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def main() -> None:
    try:
        app()
    except HigrError as error:
        sys.stderr.write(f"monitoring: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
