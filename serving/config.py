"""What is set once for a serving process, in a file: all that has no option of its own."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from higr.config import BatchConfig, Section
from serving.schemas import Id
from serving.yaml_file import read_yaml

MAX_BYTES = 65_536


class ExploreConfig(Section):
    """How HiGR's slates explore; each draw's chance is logged."""

    share: float = Field(
        0.0, ge=0, le=1, description="of positions whose item is drawn, not the best; 0: none"
    )
    temperature: float = Field(
        1.0, ge=0.01, le=100, description="of the draw; above 1 flatter than the model, 1 as it is"
    )


class MaxAge(Section):
    """How old what is read from each view of the feature store may be; none: any age.

    Age is how long ago the log ended that a row was made from, or its last push came: not how long the user
    was away.
    """

    user_context: float | None = Field(None, gt=0, description="seconds")
    user_interests: float | None = Field(None, gt=0, description="seconds")
    user_profile: float | None = Field(None, gt=0, description="seconds")


class FeaturesConfig(Section):
    """What is done with the feature store beside reading contexts."""

    max_age_seconds: MaxAge = MaxAge()
    push: bool = Field(
        False, description="contexts take up what is sent to /v1/feedback; the store must be writable"
    )
    item_status_seconds: float | None = Field(
        None,
        ge=0.1,
        le=86_400,
        description="between two looks at which items the store says are disabled; none: it is not asked",
    )


class AuthConfig(Section):
    """Who may ask. Both files are read again when they change."""

    tokens_file: Path | None = Field(
        None, description="lines NAME:SHA256, of the tokens that this process takes; none: anybody may ask"
    )
    predictor_token_file: Path | None = Field(
        None,
        description="the token, as it is, that a transformer shows to its predictor; none: it shows none",
    )


class LimitsConfig(Section):
    """What clients may hold of a process. Sizes of requests are fixed: `serving.schemas`, `serving.guard`."""

    connections: int = Field(500, ge=1, le=100_000, description="over HTTP at once; one more is answered 503")
    request_seconds: float = Field(
        10.0, gt=0, le=600, description="longest time in which a request arrives, from its connection on"
    )
    calls: int = Field(200, ge=1, le=100_000, description="over gRPC at once, and of one connection")


class DebugConfig(Section):
    """Pages of the transformer for those who build on it. They show what is stored of any user whose id is
    typed: switch them on where only such people reach the port."""

    explorer: bool = Field(False, description="serve the slate explorer at /explorer")
    slate: bool = Field(False, description="serve /debug/slate: a slate and how it came about")
    users: tuple[Id, ...] = Field((), max_length=20, description="ids that the explorer offers to click")


class LogsConfig(Section):
    """What the logs hold, how long, and where else they go."""

    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of requests in the prediction log, by a hash of request_id; each row names it",
    )
    redact: tuple[Literal["user_id", "surface", "context_digest"], ...] = Field(
        (),
        description="columns that no log holds as they are: null; of user_id a keyed hash where there is a "
        "key_file, else a name of its own for each request",
    )
    key_file: Path | None = Field(
        None, description="at least 16 bytes that nobody knows; the same for all replicas, and kept"
    )
    part_rows: int = Field(20_000, ge=1, le=1_000_000, description="rows of a Parquet part at most")
    part_seconds: float = Field(60.0, gt=0, le=3600, description="longest time until a row is in a part")
    keep_days: float | None = Field(
        None, gt=0, description="parts of both logs that are older are removed; none: they are kept"
    )
    cloudevents_url: str | None = Field(
        None, description="where predictions and feedback are sent as CloudEvents; none: nowhere"
    )
    cloudevents_mode: Literal["structured", "batch"] = Field(
        "structured", description="one event a call, which every receiver takes, or up to 100"
    )

    @field_validator("cloudevents_url")
    @classmethod
    def _web(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("not a URL of http or https; give one as http://broker.example/higr")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL with a password; a configuration holds no secrets")
        return url

    @model_validator(mode="after")
    def _key_is_used(self) -> Self:
        if self.key_file is not None and "user_id" not in self.redact:
            raise ValueError("key_file is for user_id in redact; name it there or leave key_file out")
        return self


class ServingConfig(Section):
    """All of it."""

    crowd: int = Field(
        64,
        ge=1,
        description="requests on their way at once; who comes on top of them has popular items straight away",
    )
    batch: BatchConfig = BatchConfig()
    explore: ExploreConfig = ExploreConfig()
    features: FeaturesConfig = FeaturesConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    bundle_roots: tuple[Path, ...] = Field(
        (), description="folders in which a bundle has to be, links followed; none: anywhere"
    )
    debug: DebugConfig = DebugConfig()
    logs: LogsConfig = LogsConfig()


def read_config(path: Path | None) -> ServingConfig:
    """What every field is by itself, where there is no file.

    Raises:
        InputError: no such file, not YAML, or a field that is unknown or out of range.
    """
    return ServingConfig() if path is None else read_yaml(path, ServingConfig, "configuration", MAX_BYTES)
