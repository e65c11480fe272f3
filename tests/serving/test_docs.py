"""docs/serving.md says what the code does: options, reasons, metrics, and bodies that parse."""

import json
import re
from pathlib import Path

import typer
import yaml

from serving import cloud_events
from serving.__main__ import app
from serving.config import LogsConfig, ServingConfig, read_config
from serving.debug_schemas import DebugSlate
from serving.debug_views import HISTORY
from serving.metrics import DECODING, SERVING
from serving.policy_file import read_policy
from serving.schemas import MAX_EVENTS, FeedbackRequest, PredictRequest, PredictResponse, parse

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text()


def test_every_option_is_there_and_no_other() -> None:
    command = typer.main.get_command(app)
    options = {opt for p in command.params for opt in p.opts if "_" not in opt} - {"--help"}
    rows = re.findall(r"^\| `--.*? \|", PAGE, re.MULTILINE)
    assert {option for row in rows for option in re.findall(r"`(--[a-z-]+)", row)} == options


def test_every_metric_is_there() -> None:
    for metric in (*SERVING, *DECODING):
        assert metric.name in PAGE


def test_the_request_and_the_answer_parse() -> None:
    body = re.search(r"-d '\n(\{.*?\})'", PAGE, re.DOTALL)
    assert body is not None
    parse(PredictRequest, json.loads(body[1]))
    answer = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert answer is not None
    PredictResponse.model_validate_json(answer[1])


def test_the_feedback_parses() -> None:
    body = re.search(r"/v1/feedback .*? -d '\n(\{.*?\})'", PAGE, re.DOTALL)
    assert body is not None
    parse(FeedbackRequest, json.loads(body[1]))
    assert f"At most {MAX_EVENTS} events a request" in PAGE


def test_the_data_are_where_the_demo_publishes_them() -> None:
    used = set(re.findall(r"--data (\S+)", PAGE))
    assert used == {"runs/demo/data"}
    assert f"publishes in its run as `{used.pop()}`" in PAGE


def test_the_limits_are_those_of_the_code() -> None:
    assert "At most 32 instances and 2 MiB" in PAGE
    from serving.guard import MAX_BODY_BYTES
    from serving.schemas import MAX_EXCLUDED, MAX_HISTORY, MAX_INSTANCES, MAX_STORED_HISTORY

    assert "contexts of up to 10,000 items" in PAGE
    assert "a client's 500" in PAGE
    assert (MAX_STORED_HISTORY, MAX_HISTORY) == (10_000, 500)
    assert (MAX_INSTANCES, MAX_BODY_BYTES, MAX_EXCLUDED) == (32, 2 * 1024 * 1024, 1000)


def test_the_debug_section_is_one_and_every_field_is_explained() -> None:
    section = PAGE.split("## See why")[1].split("\n## ")[0]
    text = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert text is not None
    debug = ServingConfig.model_validate(yaml.safe_load(text[1])).debug
    assert (debug.explorer, debug.slate, len(debug.users)) == (True, True, 3)
    assert set(re.findall(r"^\| `([a-z_]+)` \| ", section, re.MULTILINE)) == set(DebugSlate.model_fields)
    body = re.search(r"/debug/slate .*? -d '(\{.*?\})'", section)
    assert body is not None
    parse(PredictRequest, json.loads(body[1]))
    assert f"latest first, at most {HISTORY}" in section


def test_the_logs_section_is_one_and_every_field_is_explained(tmp_path: Path) -> None:
    section = PAGE.split("## Logs and metrics")[1].split("## Features")[0]
    text = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert text is not None
    (tmp_path / "serving.yaml").write_text(text[1])
    assert read_config(tmp_path / "serving.yaml").logs.sample == 0.1
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", section, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"[a-z_]+", row) if not name.startswith("higr_")}
    assert named >= set(LogsConfig.model_fields)
    defaults = LogsConfig()
    assert (
        f"{defaults.part_rows:,} rows at most, and a row is in one after {defaults.part_seconds:.0f} sec"
        in section
    )
    assert "growing pauses up to 10 s, for 5 minutes" in section
    assert (cloud_events.LONGEST_PAUSE, cloud_events.PATIENCE, cloud_events.CLOSING_SECONDS) == (10, 300, 3)
    for kind in (cloud_events.PREDICTION, cloud_events.FEEDBACK):
        assert f"`{kind}`" in section


def test_the_policy_is_one_and_every_kind_is_explained(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert text is not None
    (tmp_path / "policy.yaml").write_text(text[1])
    rules = read_policy(tmp_path / "policy.yaml").rules
    section = PAGE.split("## Policy")[1].split("## The switch")[0]
    assert {rule.kind for rule in rules} == set(re.findall(r"^\| `([a-z_]+)` \| ", section, re.MULTILINE))
