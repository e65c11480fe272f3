"""What is set once for a serving process, in a file: all that has no option of its own."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from higr.config import BatchConfig, Section
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

    batch: BatchConfig = BatchConfig()
    explore: ExploreConfig = ExploreConfig()
    logs: LogsConfig = LogsConfig()


def read_config(path: Path | None) -> ServingConfig:
    """What every field is by itself, where there is no file.

    Raises:
        InputError: no such file, not YAML, or a field that is unknown or out of range.
    """
    return ServingConfig() if path is None else read_yaml(path, ServingConfig, "configuration", MAX_BYTES)
