"""What is set once for a serving process, in a file: all that has no option of its own."""

from pathlib import Path

from pydantic import Field

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


def read_config(path: Path | None) -> ServingConfig:
    """What every field is by itself, where there is no file.

    Raises:
        InputError: no such file, not YAML, or a field that is unknown or out of range.
    """
    return ServingConfig() if path is None else read_yaml(path, ServingConfig, "configuration", MAX_BYTES)
