"""docs/features.md says what the code does: views, columns, settings, commands."""

import re
from pathlib import Path

import typer
import yaml

from feature_repo.__main__ import app
from feature_repo.definitions import objects
from feature_repo.online import PASSWORD, READ_SECONDS
from higr.data.recent import EXPOSED_ITEMS
from serving.config import ServingConfig
from serving.push import REMEMBERED, WAITING
from serving.schemas import MAX_DISABLED

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "features.md").read_text()


def test_every_view_and_column_is_there() -> None:
    from feast import FeatureService, FeatureView

    for thing in objects(Path()):
        if isinstance(thing, FeatureView | FeatureService):
            assert f"`{thing.name}`" in PAGE
    rows = dict(re.findall(r"^\| `(\w+)` \| \w+ \| (.*?) \|", PAGE, re.MULTILINE))
    for view in (thing for thing in objects(Path()) if isinstance(thing, FeatureView)):
        named = {feature.name for feature in view.features if "share" not in feature.name}
        assert named <= set(re.findall(r"`(\w+)`", rows[view.name])), view.name


def test_settings_parse() -> None:
    for page in ("features.md", "serving.md"):
        for text in re.findall(r"```yaml\n(features:.*?)```", (DOCS / page).read_text(), re.DOTALL):
            ServingConfig.model_validate(yaml.safe_load(text))


def test_commands_have_the_options_they_are_shown_with() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    shown = re.findall(r"^python -m feature_repo ([a-z-]+)(.*)$", PAGE, re.MULTILINE)
    assert {name for name, _ in shown} == set(commands)
    for name, rest in shown:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z]+", rest)) <= options


def test_the_limits_are_those_of_the_code() -> None:
    assert f"last {EXPOSED_ITEMS} distinct" in PAGE
    assert f"up to {WAITING:,} events wait" in PAGE
    assert f"the last {REMEMBERED:,} events" in PAGE
    assert f"At most {MAX_DISABLED:,} items" in PAGE
    assert f"{READ_SECONDS * 1000:.0f} ms while serving" in PAGE
    assert PASSWORD in PAGE
