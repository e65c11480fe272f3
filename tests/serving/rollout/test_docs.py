"""docs/rollout.md says what the code does."""

import json
import re
import shlex
from pathlib import Path

import typer

from higr import metrics
from serving.rollout.__main__ import app
from serving.rollout.commands import COMMANDS
from serving.rollout.config import RolloutConfig, read_rollout
from serving.rollout.judge import mean_margins, rate_margins
from tests.tools import REPOSITORY

PAGE = (REPOSITORY / "docs" / "rollout.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> set[str]:
    rows = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_configuration_is_one_and_spells_out_the_defaults(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert text is not None
    (tmp_path / "rollout.yaml").write_text(text[1])
    config = read_rollout(tmp_path / "rollout.yaml")
    plain = RolloutConfig(name="higr", namespace="models")
    assert config.model_copy(update={"store": None, "prometheus": plain.prometheus}) == plain
    assert config.prometheus.stale_seconds == plain.prometheus.stale_seconds


def test_every_field_and_option_is_there_and_no_other() -> None:
    named = first_column(section("Configuration"))
    options = {opt for p in typer.main.get_command(app).params for opt in p.opts} - {"--help"}
    assert {name for name in named if name.startswith("--")} == options
    fields = {name.split(".")[0] for name in named if not name.startswith("--")}
    assert fields == set(RolloutConfig.model_fields)


def test_every_measure_metric_and_command_is_there() -> None:
    config = RolloutConfig(name="higr", namespace="models")
    assert first_column(section("Measures")) == {*rate_margins(config), *mean_margins(config)}
    shown = set(
        re.findall(r"`(higr_(?:outcome|rollout)_\w+?)(?:_total)?`", section("How feedback finds its side"))
    )
    own = {m.name for m in metrics.METRICS if m.name.startswith(("higr_outcome_", "higr_rollout_"))}
    assert shown == own
    assert first_column(section("By hand")) == set(COMMANDS)


def test_the_commands_of_kubectl_hold_what_they_should() -> None:
    patches = [
        json.loads(words[words.index("-p") + 1])
        for line in re.findall(r"^    (kubectl patch .*)$", PAGE, re.MULTILINE)
        for words in [shlex.split(line)]
    ]
    order, weights = patches
    assert set(order["data"]) == {"command", "ordered-by", "reason"}
    assert order["data"]["command"] in COMMANDS
    assert [operation["value"] for operation in weights] == [100, 0]
