"""What is set once for a serving process, in a file: all that has no option of its own."""

from pathlib import Path

from pydantic import Field

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


class ServingConfig(Section):
    """All of it."""

    crowd: int = Field(
        64,
        ge=1,
        description="requests on their way at once; who comes on top of them has popular items straight away",
    )
    batch: BatchConfig = BatchConfig()
    explore: ExploreConfig = ExploreConfig()


def read_config(path: Path | None) -> ServingConfig:
    """What every field is by itself, where there is no file.

    Raises:
        InputError: no such file, not YAML, or a field that is unknown or out of range.
    """
    return ServingConfig() if path is None else read_yaml(path, ServingConfig, "configuration", MAX_BYTES)
