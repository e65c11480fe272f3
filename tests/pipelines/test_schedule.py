"""Recurring runs, by the real KFP client against a server that keeps what it is sent."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from typer.testing import CliRunner

from higr.config import load_config, parse_config
from higr.errors import HigrError, InputError
from pipelines.__main__ import app
from pipelines.schedule import Schedule, schedule

HOURLY = "0 15 * * * *"


class Api(ThreadingHTTPServer):
    """Experiments and recurring runs of KFP's API (v2beta1), in memory."""

    def __init__(self) -> None:
        self.experiments: list[dict[str, Any]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.refuses = False
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Api

    def _answer(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @property
    def _resource(self) -> str:
        return self.path.partition("?")[0].removeprefix("/apis/v2beta1/")

    def do_GET(self) -> None:
        match self._resource:
            case "healthz":
                self._answer({})
            case "experiments":
                self._answer({"experiments": self.server.experiments})
            case "recurringruns":
                self._answer({"recurringRuns": list(self.server.runs.values())} if self.server.runs else {})
            case _:
                self._answer({}, 404)

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.refuses:
            self._answer({"error": "cron is not\n understood"}, 400)
        elif self._resource == "experiments":
            self.server.experiments.append({**sent, "experiment_id": "e-1"})
            self._answer(self.server.experiments[-1])
        else:
            name = f"r-{len(self.server.runs) + 1}"
            self.server.runs[name] = {**sent, "recurring_run_id": name}
            self._answer(self.server.runs[name])

    def do_DELETE(self) -> None:
        del self.server.runs[self._resource.removeprefix("recurringruns/")]
        self._answer({})

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def when(api: Api, **changes: Any) -> Schedule:
    given = {"host": api.url, "cron": HOURLY, "name": "higr-realign", "experiment": "higr", **changes}
    return Schedule(**given)


def test_the_server_gets_the_pipeline_its_parameters_and_one_run_at_a_time(api):
    config = load_config("nano", {"seed": 3})
    made = schedule(
        "realign", config, {"store": "s3://models/higr", "hours": "12"}, when(api, service_account="runner")
    )
    sent = api.runs[made]
    assert sent["trigger"] == {"cron_schedule": {"cron": HOURLY}}
    assert int(sent["max_concurrency"]) == 1  # the client writes int64 as text
    assert (sent["no_catchup"], sent["mode"]) == (True, "ENABLE")
    assert (sent["display_name"], sent["experiment_id"], sent["service_account"]) == (
        "higr-realign",
        "e-1",
        "runner",
    )
    given = sent["runtime_config"]["parameters"]
    assert (given["store"], given["hours"]) == ("s3://models/higr", 12.0)
    assert parse_config(given["config"]) == config
    pipeline = sent["pipeline_spec"].get("pipeline_spec", sent["pipeline_spec"])
    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    assert spec.pipeline_info.name == "higr-realign"
    assert set(given) <= set(spec.root.input_definitions.parameters)


def test_one_of_the_same_name_is_replaced_and_others_stay(api):
    config = load_config("nano")
    given = {"store": "s3://models/higr"}
    schedule("realign", config, given, when(api))
    other = schedule("realign", config, given, when(api, name="another"))
    api.runs["r-9"] = api.runs.pop("r-1") | {"recurring_run_id": "r-9"}
    again = schedule("realign", config, given, when(api))
    assert set(api.runs) == {other, again}


def test_a_refusal_is_one_line_and_leaves_what_was(api):
    config = load_config("nano")
    first = schedule("realign", config, {"store": "s3://models/higr"}, when(api))
    api.refuses = True
    with pytest.raises(HigrError, match=r"realign was not scheduled at http://127\.0\.0\.1") as error:
        schedule("realign", config, {"store": "s3://models/higr"}, when(api))
    assert "\n" not in str(error.value)
    assert set(api.runs) == {first}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cron": "0 15 * * *"}, "six fields are due"),
        ({"cron": "0 15 * * * $(id)"}, "six fields are due"),
        ({"cron": ""}, "six fields are due"),
        ({"host": "kfp.example.org"}, "--host 'kfp.example.org': an http"),
    ],
)
def test_when_and_where_are_checked(api, changes, message):
    with pytest.raises(InputError, match=message):
        when(api, **changes)


def test_parameters_are_checked_before_the_server_is_asked(api):
    with pytest.raises(InputError, match="hours: Input should be greater than 0"):
        schedule("realign", load_config("nano"), {"store": "s3://m", "hours": "-1"}, when(api))
    assert (api.experiments, api.runs) == ([], {})


def test_the_command(api):
    arguments = ["schedule", "refresh", "--cron", HOURLY, "--host", api.url, "-c", "nano"]
    done = CliRunner().invoke(
        app, [*arguments, "-p", "store=s3://models/higr", "-p", "items=/items/new.parquet"]
    )
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "recurring run higr-refresh (r-1)"
