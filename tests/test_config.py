"""Run: pytest tests/test_config.py"""

import pytest

from higr.config import load_config, parse_config
from higr.errors import InputError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("- 1", "holds a list; a mapping of sections is due"),
        ("modle: {}", "modle: Extra inputs are not permitted"),
        ("model: {width: 100, heads: 3}", "width 100 is not a multiple of 2 * heads (6)"),
        ("tokenizer: {depth: 4}", "level_weights has 2 values; depth 4 needs 3"),
        ("decode: {slate_size: 11}", "decode.slate_size is 11, but model.max_slate_size is 10; raise that"),
        ("data: {source: kuairand}", "source 'kuairand' needs data.path"),
        (
            "data: {validation_start: 2022-05-02, test_start: 2022-05-01T00:00:00Z}",
            "validation_start 2022-05-02 00:00:00+00:00 is not before test_start 2022-05-01 00:00:00+00:00",
        ),
    ],
)
def test_a_bad_configuration_is_one_line_with_the_field(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_config(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_overrides_reach_nested_fields() -> None:
    config = load_config("nano", {"training.epochs": 7, "tokenizer.gate.max_collision": 0.9})
    assert (config.training.epochs, config.tokenizer.gate.max_collision) == (7, 0.9)
    assert config.tokenizer.codebook_size == 16


def test_a_configuration_never_changes() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_config("").seed = 1  # type: ignore[misc]
