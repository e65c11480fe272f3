"""A pipeline on this machine, by KFP's local runner: the definition a cluster gets.

Stages are subprocesses of this interpreter. Artifacts and cached results live in `<out>/.kfp`; delete it to
start afresh. KFP's own log and that of every stage go to `<out>/pipeline.log`.
"""

import fcntl
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import local
from rich.console import Console

import components
from components.events import VARIABLE
from components.parameters import PARAMETERS
from higr.config import RunConfig
from higr.errors import HigrError, InputError
from higr.files import read_json
from pipelines.define import config_text
from pipelines.graph import GRAPHS
from pipelines.keys import cache_keys, data_version
from pipelines.realign import realign_pipeline
from pipelines.refresh import refresh_pipeline
from pipelines.training import training_pipeline
from pipelines.watch import Watcher

REPORTS = {
    "tokenize": "tokenizer_report",
    "align": "pairs_report",
    "realign": "pairs_report",
    "evaluate": "evaluation_report",
    "gate": "gate_report",
}
"""Output that holds the page of a stage."""
PIPELINES = {"training": training_pipeline, "refresh": refresh_pipeline, "realign": realign_pipeline}


class PipelineError(HigrError):
    """A stage failed; says which, its reason, and where the log is.

    Attributes:
        mendable: by the user; else it crashed.
        reports: HTML pages by stage, of those that came so far.
    """

    def __init__(self, message: str, mendable: bool, reports: Mapping[str, Path]) -> None:
        super().__init__(message)
        self.mendable = mendable
        self.reports = reports


@dataclass(frozen=True)
class StageRun:
    """Attributes:
    seconds: of the stage's work, when it was done; not of finding it in the cache.
    cached: whether that was in an earlier run.
    figures: what the stage found.
    """

    name: str
    seconds: float
    cached: bool
    figures: dict[str, Any]


@dataclass(frozen=True)
class LocalRun:
    """Attributes:
    stages: in the order of `pipelines.graph`.
    artifacts: the pipeline's outputs (its module's `Outputs`): where each lies.
    reports: HTML pages by stage.
    seconds: of the whole run.
    """

    stages: tuple[StageRun, ...]
    artifacts: dict[str, Path]
    reports: dict[str, Path]
    seconds: float
    log: Path


def run(
    config: RunConfig,
    out: Path,
    console: Console,
    pipeline: str = "training",
    parameters: Mapping[str, Any] | None = None,
) -> LocalRun:
    """Run what is not in the cache of `out`; `console` shows a line a stage and how far it is.

    parameters: of the pipeline, beside `config` and `data_version`.

    Raises:
        PipelineError: a stage ended in an error.
        InputError: `out` cannot be written, or another run is writing it.
    """
    started = time.monotonic()
    log = out / "pipeline.log"
    with _home(out) as home:
        version = data_version(config.data)
        graph = GRAPHS[pipeline]
        given = {"config": config_text(config), **(parameters or {})}
        if "data_version" in PARAMETERS[pipeline].model_fields:
            given["data_version"] = version
        defined = PIPELINES[pipeline](config, keys=cache_keys(config, version, graph))
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(home / "artifacts"),
            workspace_root=str(home / "workspace"),
            enable_caching=True,
            cache_root=str(home / "cache"),
        )
        # A file of its own: a stage that outlived an interrupted run must not report into this one.
        with (
            tempfile.TemporaryDirectory(dir=home) as own,
            _environment(Path(own) / "events.jsonl") as events,
            Watcher(events, console, graph) as watcher,
        ):
            try:
                outputs = _run_quietly(defined, given, log)
            except RuntimeError:
                watcher.stop()
                reason, mendable = watcher.failure()
                raise PipelineError(f"{reason} (log: {log})", mendable, watcher.reports) from None
    artifacts = {name: Path(artifact.path) for name, artifact in outputs.items()}
    runs = [_stage_run(name, artifacts, watcher) for name in graph]
    stages = tuple(run for run in runs if run is not None)
    pages = {
        stage: artifacts[name] for stage, name in REPORTS.items() if stage in graph and name in artifacts
    }
    reports = {stage: page for stage, page in (pages | watcher.reports).items() if page.is_file()}
    return LocalRun(stages, artifacts, reports, time.monotonic() - started, log)


def _run_quietly(pipeline: Any, given: Mapping[str, Any], log: Path) -> dict[str, Any]:
    """KFP prints by way of standard output; all of it goes to the log."""
    with log.open("w", buffering=1) as file, redirect_stdout(file), warnings.catch_warnings():
        # That a local run uses neither the image nor display names is known.
        warnings.filterwarnings("ignore", module=r"kfp\.local")
        return dict(pipeline(**given).outputs)


def _stage_run(name: str, artifacts: Mapping[str, Path], watcher: Watcher) -> StageRun | None:
    """None for a stage whose condition did not hold."""
    event = watcher.last(name)
    if (metrics := artifacts.get(f"{name}_metrics")) is not None:
        record = read_json(metrics)
        return StageRun(name, record["seconds"], event is None, record["figures"])
    # KFP hands nothing over of what ran under a condition.
    return None if event is None else StageRun(name, round(event.seconds, 2), False, dict(event.figures))


@contextmanager
def _home(out: Path) -> Iterator[Path]:
    """`<out>/.kfp`, held for this run alone."""
    home = out / ".kfp"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}); give another --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is writing {out}; wait for it, or give another --out") from None
        yield home.resolve()


@contextmanager
def _environment(events: Path) -> Iterator[Path]:
    """What stages inherit: where to report, and this very code, wherever the run was started."""
    code = str(Path(components.__file__).resolve().parent.parent)
    theirs = os.environ.get("PYTHONPATH")
    changes = {
        VARIABLE: str(events),
        "PYTHONPATH": os.pathsep.join(filter(None, (code, theirs))),
        "PYTHONUNBUFFERED": "1",
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield events
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
