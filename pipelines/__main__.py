"""`python -m pipelines`: run the training pipeline here, or compile it for a cluster."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from components.image import IMAGE
from components.rollout import TOOLS
from higr.config import RunConfig, load_config, parse_overrides
from higr.errors import HigrError

app = typer.Typer(
    help="The training pipeline: exposure logs in, a verified bundle, its evaluation and its features out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ConfigOption = Annotated[
    str, typer.Option("--config", "-c", help="Preset or a YAML file; `higr config` prints one.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override one field, e.g. --set data.path=logs. May be repeated."),
]


@app.command("run")
def run_command(
    config: ConfigOption = "demo",
    settings: SetOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of this run.")] = Path("runs/pipeline"),
    json_output: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run it on this machine. Stages that would do the same as before come from the run's cache."""
    from pipelines.local import PipelineError, run
    from pipelines.publish import publish, publish_reports

    settled = _config(config, settings)
    try:
        done = run(settled, out, Console(stderr=True))
    except PipelineError as error:
        for page in publish_reports(error.reports, out):
            typer.echo(f"see {page}", err=True)
        typer.echo(f"higr: {error}", err=True)
        raise typer.Exit(2 if error.mendable else 1) from None
    except KeyboardInterrupt:
        typer.echo("higr: interrupted; the same command goes on where this one stopped", err=True)
        raise typer.Exit(130) from None
    summary = publish(done, settled, out)
    if json_output:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _print(summary)


@app.command("compile")
def compile_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file to write.")] = Path("pipeline.yaml"),
    config: ConfigOption = "demo",
    settings: SetOption = None,
    image: Annotated[
        str, typer.Option(envvar="HIGR_IMAGE", help="Image that every stage runs in; name a fixed tag.")
    ] = IMAGE,
) -> None:
    """Compile it for Kubeflow Pipelines; the configuration becomes the default of its parameter `config`.

    On a cluster give `data_version` a new value whenever the files under data.path have changed.
    """
    from pipelines.training import compile_pipeline

    compile_pipeline(_config(config, settings), out, image)
    typer.echo(f"wrote {out}")


@app.command("compile-rollout")
def compile_rollout_command(
    config: Annotated[Path, typer.Option(help="rollout.yaml; see docs/rollout.md.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file to write.")] = Path(
        "rollout-pipeline.yaml"
    ),
    image: Annotated[
        str, typer.Option(envvar="HIGR_TOOLS_IMAGE", help="Image that holds the controller.")
    ] = TOOLS,
) -> None:
    """Compile the rollout pipeline for a cluster; the configuration becomes a parameter's default."""
    from pipelines.rollout import compile_rollout

    compile_rollout(config, out, image)
    typer.echo(f"wrote {out}")


def _config(config: str, settings: list[str] | None) -> RunConfig:
    return load_config(config, parse_overrides(settings))


def _print(summary: dict[str, Any]) -> None:
    table = Table("stage", "seconds", "", title=f"{summary['name']} ({summary['seconds']:.1f} s)")
    table.title_justify = "left"
    table.columns[1].justify = "right"
    for stage in summary["stages"]:
        table.add_row(stage["name"], f"{stage['seconds']:.1f}", "from the cache" if stage["cached"] else "")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for name, path in summary["paths"].items():
        for one in path if isinstance(path, list) else [path]:
            console.print(f"{name}: {one}", markup=False)


def main() -> None:
    """What the user can mend is one line on standard error and exit code 2; the rest is exit code 1."""
    try:
        app()
    except HigrError as error:
        typer.echo(f"higr: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
