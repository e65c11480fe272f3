"""`python -m pipelines`: run a pipeline here, compile it for a cluster, or have the cluster repeat it."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from components.image import IMAGE
from components.parameters import PARAMETERS, check, read
from components.rollout import TOOLS
from higr.config import RunConfig, load_config, parse_overrides
from higr.errors import HigrError, InputError

app = typer.Typer(
    help="The pipelines: training (from nothing), refresh (new items), realign (the last hours of feedback).",
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


class Pipeline(StrEnum):
    """Names as `components.parameters.PARAMETERS` has them."""

    training = "training"
    refresh = "refresh"
    realign = "realign"


TRAINING = Pipeline.training
NOT_HERE = ("config", "data_version", "webhook", "ui", "api")
"""Parameters that a local run has from its options, or no use for."""

PipelineArgument = Annotated[
    Pipeline, typer.Argument(help="Which one.", show_default=True, case_sensitive=True)
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="Parameter of the pipeline, e.g. -p store=models. May be repeated."),
]
ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", help="YAML file: resources, retries, secrets, TrainJob. `cluster` prints one."),
]
ImageOption = Annotated[
    str, typer.Option(envvar="HIGR_IMAGE", help="Image that every stage runs in; name a fixed tag.")
]


@app.command("run")
def run_command(
    pipeline: PipelineArgument = TRAINING,
    config: ConfigOption = "demo",
    settings: SetOption = None,
    parameters: ParamOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of this run.")] = Path("runs/pipeline"),
    json_output: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run it on this machine. Stages that would do the same as before come from the run's cache."""
    from pipelines.define import config_text
    from pipelines.local import PipelineError, run
    from pipelines.publish import publish, publish_reports

    settled = _config(config, settings)
    texts = _parameters(pipeline, parameters, NOT_HERE)
    whole: dict[str, Any] = {"config": config_text(settled), **texts}
    if "data_version" in PARAMETERS[pipeline.value].model_fields:
        whole["data_version"] = "the content of the files"
    check(pipeline.value, whole)
    typed = read(pipeline.value, whole)
    given = {name: getattr(typed, name) for name in texts}
    try:
        done = run(settled, out, Console(stderr=True), pipeline.value, given)
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
    pipeline: PipelineArgument = TRAINING,
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file to write.")] = Path("pipeline.yaml"),
    config: ConfigOption = "demo",
    settings: SetOption = None,
    image: ImageOption = IMAGE,
    cluster: ClusterOption = None,
) -> None:
    """Compile it for Kubeflow Pipelines; the configuration becomes the default of its parameter `config`.

    On a cluster give `data_version` a new value whenever the files under data.path have changed.
    """
    from pipelines.cluster import load_cluster
    from pipelines.compiled import compile_pipeline

    compile_pipeline(pipeline.value, _config(config, settings), out, image, load_cluster(cluster))
    typer.echo(f"wrote {out}")


@app.command("schedule")
def schedule_command(
    pipeline: PipelineArgument,
    cron: Annotated[str, typer.Option(help="Six fields: second minute hour day month weekday.")],
    host: Annotated[str, typer.Option(envvar="KFP_API_URL", help="Address of the KFP API.")],
    config: ConfigOption = "demo",
    settings: SetOption = None,
    parameters: ParamOption = None,
    image: ImageOption = IMAGE,
    cluster: ClusterOption = None,
    name: Annotated[str, typer.Option(help="Of the recurring run; default: higr-PIPELINE.")] = "",
    experiment: Annotated[str, typer.Option(help="Where its runs are listed.")] = "higr",
    namespace: Annotated[str | None, typer.Option(help="Of a server with several users.")] = None,
    service_account: Annotated[str | None, typer.Option(help="Of the runs' Pods.")] = None,
) -> None:
    """Have a cluster repeat it: one run at a time, none made up for. One of the same name is replaced."""
    from pipelines.cluster import load_cluster
    from pipelines.schedule import Schedule, schedule

    when = Schedule(host, cron, name or f"higr-{pipeline.value}", experiment, namespace, service_account)
    given = _parameters(pipeline, parameters, ("config",))
    settled = _config(config, settings)
    made = schedule(pipeline.value, settled, given, when, image, load_cluster(cluster))
    typer.echo(f"recurring run {when.name} ({made})")


@app.command("compile-rollout")
def compile_rollout_command(
    config: Annotated[Path, typer.Option(help="rollout.yaml; see docs/rollout.md.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML file to write.")] = Path(
        "rollout-pipeline.yaml"
    ),
    image: Annotated[
        str, typer.Option(envvar="HIGR_TOOLS_IMAGE", help="Image that holds the controller.")
    ] = TOOLS,
    cluster: ClusterOption = None,
) -> None:
    """Compile the rollout pipeline for a cluster; the configuration becomes a parameter's default."""
    from pipelines.cluster import load_cluster
    from pipelines.rollout import compile_rollout

    compile_rollout(config, out, image, load_cluster(cluster))
    typer.echo(f"wrote {out}")


@app.command("cluster")
def cluster_command() -> None:
    """Print what tasks ask of a cluster, all defaults filled in: the start of a file for `--cluster`."""
    import yaml

    from pipelines.cluster import STAGE_NAMES, Cluster

    defaults = Cluster()
    stages = {name: defaults.of(name).model_dump(mode="json") for name in sorted(STAGE_NAMES)}
    document = {**defaults.model_dump(mode="json"), "stages": stages}
    typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)


def _parameters(pipeline: Pipeline, settings: list[str] | None, fixed: tuple[str, ...]) -> dict[str, str]:
    """`["store=models", ...]` by name; `fixed` ones are given otherwise."""
    fields = PARAMETERS[pipeline.value].model_fields
    given: dict[str, str] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or name not in fields or name in fixed:
            free = ", ".join(field for field in fields if field not in fixed)
            raise InputError(f"--param {setting!r}: write name=value; {pipeline.value} takes {free}")
        given[name] = value
    return given


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
