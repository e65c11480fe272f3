"""docs/alerting.md names every alert, setting and dashboard, as they are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from monitoring.__main__ import app
from monitoring.alerting.settings import Objectives, RuleSettings
from tests.monitoring.alerting.test_rules import ALERTS
from tests.tools import REPOSITORY

PAGE = (REPOSITORY / "docs" / "alerting.md").read_text()


def test_every_alert_with_its_severity_team_and_runbook() -> None:
    rows = {
        (name, severity, team, runbook)
        for name, severities, team, runbook in re.findall(
            r"^\| `(Higr\w+)` \| ([a-z ]+) \| (\w+) \| .* \| \[[\w-]+\]\(runbooks/(.*)\) \|$",
            PAGE,
            re.MULTILINE,
        )
        for severity in severities.split(" or ")
    }
    assert rows == {
        (
            rule["alert"],
            rule["labels"]["severity"],
            rule["labels"]["team"],
            rule["annotations"]["runbook_url"].rpartition("/")[2],
        )
        for rule in ALERTS
    }


def test_every_setting_with_its_default() -> None:
    section = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", section, re.MULTILINE))
    defaults = RuleSettings().model_dump() | {
        f"objectives.{name}": value for name, value in Objectives().model_dump().items()
    }
    del defaults["objectives"]
    shown = {name: _shown(value) for name, value in defaults.items()}
    assert {name: text.strip('` "') for name, text in rows.items()} == shown


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_example_of_settings_is_one(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    settings = RuleSettings.model_validate(yaml.safe_load(block[1]))
    assert settings.objectives.by_higr == 0.9


def test_every_dashboard_is_there() -> None:
    files = {path.name for path in (REPOSITORY / "monitoring" / "dashboards").glob("*.json")}
    assert set(re.findall(r"`(higr-[\w-]+\.json)`", PAGE)) == files


@pytest.mark.parametrize("command", ["rules", "dashboards"])
def test_the_commands_write_what_is_committed(command: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, [command, "--out", str(tmp_path / "out")])
    assert ended.exit_code == 0, ended.output
    committed = REPOSITORY / "monitoring" / command
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_text() for path in committed.iterdir()
    }


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = subprocess.run(
        [sys.executable, "-m", "monitoring", "rules", "--out", str(tmp_path / "file")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert (
        ended.stderr
        == f"monitoring: {tmp_path / 'file'} cannot be written (File exists); give another --out\n"
    )
