"""The rules as files: `monitoring/rules` holds those of the default settings."""

from collections.abc import Callable

import yaml

from monitoring.alerting import (
    availability,
    budgets,
    drift,
    fallback,
    features,
    jobs,
    levers,
    logs,
    recording,
    rollout,
)
from monitoring.alerting.rule import Group, rendered
from monitoring.alerting.settings import RuleSettings

FILES: dict[str, tuple[Callable[[RuleSettings], Group], ...]] = {
    "recording.yaml": (recording.recording,),
    "budgets.yaml": (budgets.budgets,),
    "serving.yaml": (
        availability.availability,
        fallback.fallback,
        features.features,
        levers.levers,
        logs.logs,
    ),
    "drift.yaml": (drift.drift, jobs.jobs),
    "rollout.yaml": (rollout.rollout,),
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
