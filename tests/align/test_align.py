"""Run: pytest tests/align"""

from pathlib import Path

import pytest

from higr import stages
from higr.config import RunConfig, load_config
from higr.errors import InputError
from tests.conftest import NANO


class StopError(Exception):
    """The test has seen enough."""


def align(config: RunConfig, run: Path, out: Path, last: int | None = None) -> None:
    """The stage `align`; `StopError` after step `last`."""

    def progress(label: str, step: int, total: int) -> None:
        if step == last:
            raise StopError

    stages.align(config, run / "data", run / "tokens", run / "pretrained", out, progress)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"align.alpha": 0.5}, r"has align\.alpha 0\.1, this training 0\.5"),
        ({"align.learning_rate": 0.5}, r"has learning_rate 0\.0001, this training 0\.5"),
    ],
)
def test_an_alignment_goes_on_with_its_own_settings_alone(
    nano_run: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    few = {**NANO, "training.save_every_steps": 1, "align.user_share": 0.5, "align.batch_size": 16}
    with pytest.raises(StopError):
        align(load_config("nano", few), nano_run, tmp_path / "aligned", last=2)
    with pytest.raises(InputError, match=message):
        align(load_config("nano", {**few, **changes}), nano_run, tmp_path / "aligned")
    align(load_config("nano", few), nano_run, tmp_path / "aligned")
    assert (tmp_path / "aligned/model/model.safetensors").is_file()
