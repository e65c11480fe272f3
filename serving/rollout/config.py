"""rollout.yaml: what is rolled out where, by which steps, and how much worse is too much."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from higr.config import Section
from higr.metrics import LATENCY_BUCKETS
from serving.yaml_file import read_yaml

MAX_BYTES = 65_536
NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Step(Section):
    """A share of the traffic, and how long it is watched."""

    weight: int = Field(ge=1, le=99, description="per cent of the requests that the canary answers")
    least_seconds: float = Field(600.0, ge=0, description="no step up sooner")
    least_slates: int = Field(1000, ge=100, description="of the canary in this step; no step up with fewer")
    greatest_seconds: float = Field(7200.0, gt=0, description="then on_timeout is done")

    @model_validator(mode="after")
    def _time_to_pass(self) -> Self:
        if self.greatest_seconds <= self.least_seconds:
            raise ValueError(
                f"greatest_seconds is {self.greatest_seconds:g}, not more than least_seconds, "
                f"{self.least_seconds:g}: no step could end well"
            )
        return self


class Rate(Section):
    """A share of requests that must not rise."""

    margin: float = Field(gt=0, lt=1, description="difference to the stable side that is borne")


class Slow(Section):
    """The share of requests slower than a limit: the p99 is above the limit if and only if it is above 1
    %."""

    seconds: float = Field(0.3, description="the limit, a bucket of higr_request_seconds")
    margin: float = Field(0.01, gt=0, lt=1, description="difference to the stable side that is borne")

    @field_validator("seconds")
    @classmethod
    def _a_bucket(cls, seconds: float) -> float:
        if seconds not in LATENCY_BUCKETS:
            known = ", ".join(f"{bound:g}" for bound in LATENCY_BUCKETS)
            raise ValueError(f"{seconds:g} is no bucket of higr_request_seconds; give one of {known}")
        return seconds


class Mean(Section):
    """A mean per slate that must not fall."""

    margin: float = Field(gt=0, lt=1, description="share of the stable side's mean that may be lost")


class Outcomes(Section):
    """What users made of the slates, from `python -m monitoring outcomes`."""

    settle_seconds: float = Field(900.0, gt=0, description="its --settle")
    late_seconds: float = Field(
        300.0, gt=0, description="how far behind the logs may be beyond that; more: hold"
    )
    effective_views: Mean | None = Field(
        Mean(margin=0.03), description="share of a slate's items effectively viewed; none: not judged"
    )
    watch_seconds: Mean | None = Field(
        Mean(margin=0.03), description="seconds watched per slate; none: not judged"
    )


class Prometheus(Section):
    """Who is asked."""

    url: str = Field("http://prometheus:9090", description="up to, not including, /api/v1")
    token_file: Path | None = Field(None, description="bearer token; none: none is shown")
    timeout_seconds: float = Field(10.0, gt=0, le=60, description="of a query; later: hold")
    stale_seconds: float = Field(120.0, gt=0, description="a newest sample older than this: hold")

    @field_validator("url")
    @classmethod
    def _web(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not a URL of http or https; give one as http://prometheus.monitoring:9090")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL with a password; a configuration holds no secrets, see token_file")
        return url.rstrip("/")


class RolloutConfig(Section):
    """All of it.

    Objects have the names the chart gives them: InferenceServices NAME and NAME-canary, HTTPRoute NAME,
    ConfigMaps NAME-rollout and NAME-bundle.
    """

    name: str = Field(max_length=40, pattern=NAME, description="the chart's full name")
    namespace: str = Field(max_length=63, pattern=NAME)
    store: str | None = Field(
        None, description="root of the bundle store, where a promotion is recorded; none: not recorded there"
    )
    prometheus: Prometheus = Prometheus()
    stable_selector: str = Field("", description="labels of the stable side's series; empty: pods by name")
    canary_selector: str = Field("", description="labels of the canary's series; empty: pods by name")
    steps: tuple[Step, ...] = Field(
        (Step(weight=5), Step(weight=20), Step(weight=50)), min_length=1, max_length=10
    )
    look_seconds: float = Field(30.0, gt=0, description="between two looks")
    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="chance of rolling back a canary that is within its margins, and of promoting one beyond",
    )
    errors: Rate | None = Field(Rate(margin=0.005), description="requests answered 5xx; none: not judged")
    fallback: Rate | None = Field(
        Rate(margin=0.02), description="slates that HiGR did not make; none: not judged"
    )
    slow: tuple[Slow, ...] = Field((Slow(),), max_length=4)
    outcomes: Outcomes | None = Field(Outcomes(), description="none: what users do is not judged")
    on_timeout: Literal["roll-back", "hold"] = "roll-back"
    ready_seconds: float = Field(
        900.0,
        gt=0,
        description="in which the canary must be ready for a step, and the stable side serve a promoted "
        "bundle; later: rolled back",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError(f"steps: weights are {weights}; each must be greater than the one before")
        return self

    @model_validator(mode="after")
    def _judged_by_something(self) -> Self:
        if not (self.errors or self.fallback or self.slow):
            raise ValueError("errors, fallback and slow are all off: leave one on, or nothing guards a step")
        limits = [limit.seconds for limit in self.slow]
        if len(set(limits)) != len(limits):
            raise ValueError(f"slow: limits are {limits}; name each once")
        return self

    @property
    def canary(self) -> str:
        """The canary's InferenceService."""
        return f"{self.name}-canary"

    def selector(self, side: str) -> str:
        """Labels of a side's series."""
        given = self.stable_selector if side == "stable" else self.canary_selector
        service = self.name if side == "stable" else self.canary
        return given or f'namespace="{self.namespace}",pod=~"{service}-transformer-.+"'


def read_rollout(path: Path) -> RolloutConfig:
    """Raises:
    InputError: no such file, not YAML, or a field that is unknown or out of range.
    """
    return read_yaml(path, RolloutConfig, "rollout", MAX_BYTES)
