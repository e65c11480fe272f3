"""The configuration file of a serving process."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from higr.errors import InputError
from serving.__main__ import app
from serving.config import ServingConfig, read_config


def test_without_a_file_everything_is_as_it_is_by_itself(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert read_config(None) == read_config(tmp_path / "empty.yaml") == ServingConfig()
    assert ServingConfig().explore.share == 0
    debug = ServingConfig().debug
    assert (debug.explorer, debug.slate, debug.users) == (False, False, ())
    logs = ServingConfig().logs
    assert (logs.sample, logs.redact, logs.keep_days, logs.cloudevents_url) == (1, (), None, None)


def test_what_is_written_holds(tmp_path: Path) -> None:
    path = tmp_path / "serving.yaml"
    path.write_text("explore: {share: 0.1, temperature: 2}\nbatch: {max_batch: 4}")
    config = read_config(path)
    assert (config.explore.share, config.explore.temperature, config.batch.max_batch) == (0.1, 2, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explore: {shared: 0.1}", r"explore\.shared: Extra inputs"),
        ("explore: {share: 2}", r"explore\.share: Input should be less than or equal to 1"),
        ("debug: {explorer: maybe}", r"debug\.explorer: Input should be a valid boolean"),
        ("debug: {users: ['']}", r"debug\.users\.0: String should have at least 1 character"),
        ("features: {max_age_seconds: {item_status: 1}}", r"features\.max_age_seconds\.item_status: Extra"),
        ("features: {max_age_seconds: {user_context: 0}}", r"user_context: Input should be greater than 0"),
        ("features: {item_status_seconds: 0.01}", r"item_status_seconds: Input should be greater"),
        ("explore: [", "not YAML in line 1"),
        ("auth: {token: x}", r"auth\.token: Extra inputs"),
        ("limits: {connections: 0}", r"limits\.connections: Input should be greater than or equal to 1"),
        ("logs: {sample: 0}", r"logs\.sample: Input should be greater than 0"),
        (
            "logs: {redact: [email]}",
            r"logs\.redact\.0: Input should be 'user_id', 'surface' or 'context_digest'",
        ),
        ("logs: {key_file: k}", r"logs: key_file is for user_id in redact"),
        ("logs: {keep_days: 0}", r"logs\.keep_days: Input should be greater than 0"),
        ("logs: {cloudevents_url: 'ftp://h/'}", r"logs\.cloudevents_url: not a URL of http or https"),
        ("logs: {cloudevents_url: 'http:///x'}", r"logs\.cloudevents_url: not a URL of http or https"),
        ("logs: {cloudevents_url: 'http://[/'}", r"logs\.cloudevents_url: "),
        ("logs: {cloudevents_url: 'http://h:port/'}", r"logs\.cloudevents_url: "),
        (
            "logs: {cloudevents_url: 'http://u:secret@h/'}",
            r"a URL with a password; a configuration holds no s",
        ),
        ("- explore", "the file: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "serving.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("features: {push: true}", ["--features", "f"], "only with --features and --feedback-dir"),
        ("features: {push: true}", ["--feedback-dir", "f"], "only with --features and --feedback-dir"),
        ("features: {item_status_seconds: 1}", [], "there is no store to ask; give --features"),
    ],
)
def test_what_needs_a_store_says_so_before_anything_is_loaded(
    tmp_path: Path, text: str, options: list[str], message: str
) -> None:
    (tmp_path / "serving.yaml").write_text(text)
    arguments = ["--bundle", "no-bundle", "--config", str(tmp_path / "serving.yaml"), "--http-port", "18999"]
    ended = CliRunner().invoke(app, [*arguments, *options])
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert message in ended.stderr
