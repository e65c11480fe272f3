"""The rules as files: `monitoring/rules` holds those of the default settings."""

from collections.abc import Callable
from pathlib import Path

import yaml

from higr.files import atomic_file
from monitoring.alerting import availability, budgets, drift, fallback, jobs, levers, logs, recording
from monitoring.alerting.rule import Group, rendered
from monitoring.alerting.settings import RuleSettings

FILES: dict[str, tuple[Callable[[RuleSettings], Group], ...]] = {
    "recording.yaml": (recording.recording,),
    "budgets.yaml": (budgets.budgets,),
    "serving.yaml": (availability.availability, fallback.fallback, levers.levers, logs.logs),
    "drift.yaml": (drift.drift, jobs.jobs),
}
HEADER = "# Written by `python -m monitoring rules`; change monitoring/alerting, or give it a --config.\n"


def groups(settings: RuleSettings) -> tuple[Group, ...]:
    return tuple(make(settings) for makers in FILES.values() for make in makers)


def documents(settings: RuleSettings) -> dict[str, str]:
    """Text by file name. Each is a rule file of Prometheus, and has the form of a PrometheusRule's `spec`."""
    return {
        name: HEADER
        + yaml.safe_dump(
            {"groups": [rendered(make(settings), settings) for make in makers]},
            sort_keys=False,
            width=10_000,
            allow_unicode=True,
        )
        for name, makers in FILES.items()
    }


def write(settings: RuleSettings, out: Path) -> list[Path]:
    """All files, each written aside and renamed."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in documents(settings).items():
        with atomic_file(out / name) as aside:
            aside.write_text(text)
        written.append(out / name)
    return written
