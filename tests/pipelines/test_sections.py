"""The sections that cache keys hold are those that stages read: a stage that read another would be stale."""

from pathlib import Path
from typing import Any

import pytest

from higr import stages
from higr.config import RunConfig, load_config
from higr.progress import no_progress
from pipelines.graph import STAGES, ancestors
from tests.pipelines.tiny import OVERRIDES

SECTIONS = set(RunConfig.model_fields)


class Recorder(RunConfig):
    """Remembers which of its sections were read."""

    def __getattribute__(self, name: str) -> Any:
        if name in SECTIONS:
            object.__getattribute__(self, "__dict__").setdefault("read", set()).add(name)
        return super().__getattribute__(name)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """What each stage of a whole run read."""
    run = tmp_path_factory.mktemp("run")
    document = load_config("nano", OVERRIDES).model_dump()
    found = {}
    for name, stage in stages.STAGES.items():
        config = Recorder.model_validate(document)
        config.__dict__.pop("read", None)
        stage(config, Path(run), no_progress)
        found["prepare" if name == "data" else name] = config.__dict__.get("read", set())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STAGES if name not in {"materialise", "bundle"}])
def test_a_stage_reads_what_its_key_holds(name, read):
    own = set(STAGES[name].sections)
    inherited = {section for earlier in ancestors(name) for section in STAGES[earlier].sections}
    assert read[name] <= own | inherited, "pipelines.graph does not list a section that this stage reads"
    assert own <= read[name] | inherited, "pipelines.graph lists a section that this stage does not read"
