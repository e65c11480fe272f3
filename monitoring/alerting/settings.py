"""What an installation may want otherwise in its rules."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError, field_validator

from higr.config import Section
from higr.errors import InputError
from higr.metrics import REQUEST_SECONDS

TASK = r"^[a-z][a-z0-9_-]{0,62}$"
"""Name of a job, as `python -m monitoring job` takes it."""


class Objectives(Section):
    """Shares of requests over 30 days that are to be good; alerts watch how fast the rest is used up."""

    by_higr: float = Field(0.95, gt=0, lt=1, description="of slates that HiGR made, not the ladder below it")
    in_time: float = Field(0.99, gt=0, lt=1, description="of slates within the deadline")
    answered: float = Field(0.999, gt=0, lt=1, description="of requests that are not answered 5xx")


class RuleSettings(Section):
    """All of it."""

    runbooks: str = Field(
        "https://docs.example.org/higr/runbooks", description="URL under which docs/runbooks is published"
    )
    dashboards: str = Field("https://grafana.example.org/d", description="URL of Grafana's dashboards")
    namespace: str = Field(
        "",
        pattern=r"^[a-z0-9-]*$",
        description="of the one installation these rules watch, where Prometheus scrapes several; empty: all",
    )
    deadline_seconds: float = Field(0.3, description="of serving; a bucket of higr_request_seconds")
    objectives: Objectives = Objectives()
    min_requests: int = Field(
        100, ge=1, description="in a window; with fewer, no budget burns: one bad answer of five is no trend"
    )
    fallback_watch: float = Field(0.1, gt=0, lt=1, description="share of slates, for one reason")
    fallback_page: float = Field(0.5, gt=0, lt=1, description="share of slates, for all reasons")
    drift_period_seconds: int = Field(3600, ge=60, description="between two runs of the drift job")
    required_tasks: tuple[Annotated[str, Field(pattern=TASK)], ...] = Field(
        ("features",), description="jobs that must have told the Pushgateway of themselves"
    )
    time_scale: float = Field(
        1.0, ge=1, description="every window and wait is so many times shorter; for tests and drills"
    )

    @field_validator("deadline_seconds")
    @classmethod
    def _a_bucket(cls, seconds: float) -> float:
        if seconds not in REQUEST_SECONDS.buckets:
            raise ValueError(
                f"not a bucket of {REQUEST_SECONDS.name}: {', '.join(map(str, REQUEST_SECONDS.buckets))}"
            )
        return seconds


def read_settings(path: Path | None) -> RuleSettings:
    """Defaults where there is no file.

    Raises:
        InputError: no such file, not YAML, or a field that is unknown or out of range.
    """
    if path is None:
        return RuleSettings()
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a file that can be read") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{path} is not YAML; see docs/alerting.md") from None
    try:
        return RuleSettings.model_validate({} if document is None else document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {field}: {first['msg']}; see docs/alerting.md") from None
