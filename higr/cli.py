"""`higr`: one command a stage, and `higr run` for all of them.

A run has one directory. Every stage reads what earlier stages left there and adds its own folder,
so a stage can be repeated alone. Progress goes to standard error; figures go to standard output as
a table, or as one JSON object with `--json`. What the user can mend ends with one line and exit
code 2.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from higr.config import RunConfig, load_config, parse_overrides
from higr.errors import HigrError
from higr.store.cli import bundle_app

app = typer.Typer(
    help="Generative slate recommendation: exposure logs in, a verified model bundle out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

catalog_app = typer.Typer(help="The living catalogue of a bundle.", no_args_is_help=True)
app.add_typer(catalog_app, name="catalog")
app.add_typer(bundle_app, name="bundle")

ConfigOption = Annotated[
    str,
    typer.Option(
        "--config", "-c", help="Preset (demo, nano, kuairand) or a YAML file. `higr config` prints one."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", help="Override one field, e.g. --set data.path=logs --set training.epochs=2."
    ),
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Directory of this run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print figures as JSON for machines.")]


class _Speed(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def _run(
    name: str, json_output: bool, work: Callable[[Callable[[str, int, int], None]], dict[str, Any]]
) -> None:
    """Do one stage with a progress bar, then print what came of it."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        _Speed(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)

        figures = work(progress)
    seconds = time.monotonic() - started
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks for all
        return
    if breach := figures.get("guard_message"):
        typer.echo(f"higr: warning: {breach}", err=True)
    if json_output:
        typer.echo(json.dumps({"stage": name, "seconds": round(seconds, 1), **figures}))
        return
    table = Table(title=f"{name} ({seconds:.1f} s)", show_header=False, title_justify="left")
    for key, value in figures.items():
        table.add_row(
            key,
            f"{value:.4f}"
            if isinstance(value, float)
            else f"{value:,}"
            if isinstance(value, int)
            else str(value),
        )
    Console().print(table)


def _stage(name: str, config: str, settings: list[str] | None, out: Path, json_output: bool) -> None:
    from higr import stages

    run = load_config(config, parse_overrides(settings))
    _run(name, json_output, lambda progress: stages.STAGES[name](run, out, progress))


def _command(name: str, help_text: str) -> None:
    def command(
        config: ConfigOption = "demo",
        settings: SetOption = None,
        out: OutOption = Path("runs/higr"),
        json_output: JsonOption = False,
    ) -> None:
        _stage(name, config, settings, out, json_output)

    app.command(name.replace("_", "-"), help=help_text)(command)


for _name, _help in {
    "data": "Check the source's tables, label engagement, build slates, split by time.",
    "tokenize": "Learn semantic IDs and judge them; stops here if they are too poor to train on.",
    "baseline": "Fit the incumbent: retrieval, pointwise ranking, diversity re-ranking.",
    "pretrain": "Train encoder, planner and generator on engaged slates.",
    "align": "Align the pretrained model on listwise preferences; a guard stops what would break it.",
    "evaluate": "Compare all models on the test slates, with confidence intervals.",
    "bundle": "Assemble and verify the bundle that serving loads.",
}.items():
    _command(_name, _help)


@app.command("run")
def run_all(
    config: ConfigOption = "demo",
    settings: SetOption = None,
    out: OutOption = Path("runs/higr"),
    json_output: JsonOption = False,
) -> None:
    """All stages, from source to bundle."""
    from higr import stages

    for name in stages.STAGES:
        _stage(name, config, settings, out, json_output)


@app.command("config")
def show_config(config: ConfigOption = "demo", settings: SetOption = None) -> None:
    """Print a whole configuration as YAML, defaults filled in: the start of your own."""
    run: RunConfig = load_config(config, parse_overrides(settings))
    typer.echo(yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False, allow_unicode=True), nl=False)


IdsOption = Annotated[str, typer.Option(help="Item ids, comma-separated, or a .txt file, one a line.")]


@catalog_app.command("update")
def update_catalog(
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="Bundle directory; it is not touched.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the new bundle.")],
    items: Annotated[
        Path | None, typer.Option("--items", help="Parquet file of new items and of new attributes.")
    ] = None,
    remove: IdsOption = "",
    disable: IdsOption = "",
    enable: IdsOption = "",
    json_output: JsonOption = False,
) -> None:
    """New items in, old ones out, without training; semantic IDs never change."""
    from higr.catalog_update import Changes, read_ids, update_bundle

    changes = Changes(
        items,
        remove=read_ids(remove, "--remove"),
        disable=read_ids(disable, "--disable"),
        enable=read_ids(enable, "--enable"),
    )
    warnings: list[str] = []

    def work(progress: Callable[[str, int, int], None]) -> dict[str, Any]:
        report = update_bundle(bundle, out, changes, progress)
        warnings.extend(report.warnings)
        return report.figures() | ({"warnings": warnings} if json_output else {})

    _run("catalog update", json_output, work)
    for line in warnings:
        typer.echo(f"higr: warning: {line}", err=True)


@app.command("realign")
def realign_bundle(
    bundle: Annotated[
        Path, typer.Option("--bundle", "-b", help="The bundle in production; it is not touched.")
    ],
    data: Annotated[
        Path, typer.Option("--data", "-d", help="Folder that `higr data` wrote of the latest logs.")
    ],
    since: Annotated[
        str, typer.Option("--since", help="First moment to learn from, e.g. 2026-05-01T06:00Z.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the new bundle.")],
    settings: SetOption = None,
    json_output: JsonOption = False,
) -> None:
    """Align a bundle's model on the last hours of feedback, in small steps and under guard: a new bundle."""
    from higr import stages
    from higr.align.window import read_moment

    moment, overrides = read_moment(since, "--since"), parse_overrides(settings)
    _run(
        "realign",
        json_output,
        lambda progress: stages.realign(bundle, data, out, moment, overrides, progress),
    )


@app.command("recommend")
def recommend(
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="Bundle directory.")],
    items: Annotated[
        str, typer.Option("--items", help="The user's engaged items, oldest first, comma-separated.")
    ] = "",
    slate_size: Annotated[int, typer.Option("--slate-size", "-n", min=1, help="Items of the slate.")] = 5,
    json_output: JsonOption = False,
) -> None:
    """Decode one slate from a bundle, without a server."""
    from higr.bundle import Bundle
    from higr.data.schemas import Feedback
    from higr.decode.recommender import HiGRRecommender
    from higr.slate import UserContext

    opened = Bundle.open(bundle)
    seen = tuple(item for item in items.split(",") if item)
    if unknown := [item for item in seen if item not in opened.catalog.position]:
        raise HigrError(f"--items: {unknown[0]!r} is not in the catalogue of bundle {opened.version}")
    context = UserContext("cli", seen, (int(Feedback.ENGAGED),) * len(seen))
    slate = HiGRRecommender.from_bundle(opened).recommend([context], slate_size, [seen])[0]
    shown = {row["item_id"]: row for row in opened.items.to_pylist()}
    if json_output:
        rows = [
            {"item_id": i, "semantic_id": s, "score": p}
            for i, s, p in zip(slate.item_ids, slate.semantic_ids, slate.scores, strict=True)
        ]
        typer.echo(json.dumps({"version": opened.version, "items": rows}))
        return
    table = Table(
        "#",
        "item",
        "title",
        "category",
        "semantic ID",
        "log p",
        title=f"slate of bundle {opened.version}",
        title_justify="left",
    )
    for number, (item, codes, score) in enumerate(
        zip(slate.item_ids, slate.semantic_ids, slate.scores, strict=True), 1
    ):
        table.add_row(
            str(number),
            item,
            shown[item]["text"] or "",
            shown[item]["category"],
            "-".join(map(str, codes)),
            f"{score:.2f}",
        )
    Console().print(table)


def main() -> None:
    """Entry point: user errors are one line on standard error and exit code 2."""
    try:
        app(standalone_mode=True)
    except HigrError as error:
        typer.echo(f"higr: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
