"""What a run leaves where people look: copies out of the artifact store, and a summary for machines.

<out>/bundle             the bundle
<out>/data               the prepared data; of a training
<out>/features           the feature store; not of a realignment
<out>/evaluation.json    figures and example slates; of a training
<out>/reports/           tokenizer.html, pairs.html (where alignment made pairs), evaluation.html, gate.html
<out>/summary.json       stages, durations, cache hits, figures, paths
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from higr.config import RunConfig
from higr.files import atomic_directory, atomic_file, write_json
from pipelines.local import LocalRun

REPORTS = {
    "tokenize": "tokenizer.html",
    "align": "pairs.html",
    "realign": "pairs.html",
    "evaluate": "evaluation.html",
    "gate": "gate.html",
}
"""Stage to the name of its page."""


def publish(run: LocalRun, config: RunConfig, out: Path) -> dict[str, Any]:
    """Copy the run's results and write the summary, last; returns the summary."""
    paths: dict[str, Any] = {}
    for name in ("data", "bundle", "features"):
        if name in run.artifacts:
            with atomic_directory(out / name) as aside:
                shutil.copytree(run.artifacts[name], aside, dirs_exist_ok=True)
            paths[name] = str(out / name)
    if "evaluation" in run.artifacts:
        _copy(run.artifacts["evaluation"] / "evaluation.json", out / "evaluation.json")
        paths["evaluation"] = str(out / "evaluation.json")
    reports = publish_reports(run.reports, out)
    summary = {
        "name": config.name,
        "source": config.data.source,
        "seconds": round(run.seconds, 1),
        "stages": [asdict(stage) for stage in run.stages],
        "paths": {**paths, "reports": [str(page) for page in reports], "log": str(run.log)},
    }
    write_json(out / "summary.json", summary)
    return summary


def publish_reports(pages: Mapping[str, Path], out: Path) -> list[Path]:
    """Copy pages by stage; also of a run that failed, where they say why."""
    copied = []
    for stage, page in pages.items():
        target = out / "reports" / REPORTS[stage]
        _copy(page, target)
        copied.append(target)
    return copied


def _copy(source: Path, target: Path) -> None:
    with atomic_file(target) as aside:
        shutil.copyfile(source, aside)
        aside.chmod(0o644)
