"""How a run ended reaches the log and the webhook, without the webhook's address reaching the log."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kfp.dsl import PipelineTaskFinalStatus

from components.outcome import WEBHOOK, Outcome, failed_stages, tell
from components.report import report

STAGES = ["check", "prepare", "pretrain", "update-catalogue"]


class Server(ThreadingHTTPServer):
    """Takes what is posted, answers what the test says; also KFP's API of one run."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.run: dict[str, Any] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 200:
            self.server.taken.append(body)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        answers = {"/apis/v2beta1/healthz": {}, "/apis/v2beta1/runs/run-1": self.server.run}
        found = answers.get(self.path.partition("?")[0])
        body = json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


FAILED = Outcome(
    "higr-training", "run-1", "FAILED", {"pretrain": "out of memory"}, "https://kfp.example.org/1"
)


def test_the_webhook_gets_all_of_it(server, caplog):
    with caplog.at_level(logging.INFO):
        assert tell(FAILED, f"{server.url}/hooks/a-secret-token") is True
    (taken,) = server.taken
    assert taken == {
        "text": "higr-training run run-1 failed, pretrain: out of memory, https://kfp.example.org/1",
        "pipeline": "higr-training",
        "run": "run-1",
        "state": "FAILED",
        "failed": {"pretrain": "out of memory"},
        "link": "https://kfp.example.org/1",
    }
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "higr.components"] == [
        ("ERROR", f"report: {taken['text']}")
    ]


def test_the_address_may_be_a_secret_of_the_environment(server, monkeypatch):
    monkeypatch.setenv(WEBHOOK, f"{server.url}/hooks/a-secret-token")
    assert tell(FAILED, "") is True
    assert len(server.taken) == 1


def test_a_webhook_that_is_busy_is_asked_again(server, monkeypatch):
    monkeypatch.setattr("components.outcome.BACKOFF_SECONDS", 0.0)
    server.answers = [503, 429]
    assert tell(FAILED, server.url) is True
    assert len(server.taken) == 1


@pytest.mark.parametrize("answers", [[404], [500] * 9])
def test_a_webhook_that_refuses_is_logged_and_ends_nothing(server, answers, caplog, monkeypatch):
    monkeypatch.setattr("components.outcome.BACKOFF_SECONDS", 0.0)
    server.answers = answers
    assert tell(FAILED, f"{server.url}/a-secret-token") is False
    assert "webhook at 127.0.0.1" in caplog.text
    assert "a-secret-token" not in caplog.text


def test_a_webhook_that_is_away_ends_nothing_either(caplog, monkeypatch):
    monkeypatch.setattr("components.outcome.BACKOFF_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "higr.components")
    assert tell(FAILED, "http://127.0.0.1:9/a-secret-token") is False
    ours = [record.getMessage() for record in caplog.records if record.name == "higr.components"]
    assert any("does not answer" in line for line in ours)
    assert not any("a-secret-token" in line for line in ours)


def test_without_a_webhook_the_log_has_it(caplog, monkeypatch):
    monkeypatch.delenv(WEBHOOK, raising=False)
    with caplog.at_level(logging.INFO, "higr.components"):
        assert tell(Outcome("higr-refresh", "7", "SUCCEEDED", {}, ""), "") is False
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "report: higr-refresh run 7 succeeded")
    ]


def task(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"run_id": "run-1", "task_id": name, "display_name": name, "state": state, **more}


def test_the_api_knows_which_stage_failed(server):
    server.run = {
        "run_id": "run-1",
        "run_details": {
            "task_details": [
                task("root", "FAILED"),
                task("exit-handler-1", "FAILED", child_tasks=[{"pod_name": "p"}]),
                task("prepare", "SUCCEEDED"),
                task("pretrain", "FAILED", child_tasks=[{"pod_name": "p"}]),
                task("executor", "FAILED", error={"message": "exit code 2"}),
                task("update-catalogue-driver", "FAILED", error={"message": "cannot\n be resolved"}),
            ]
        },
    }
    found = failed_stages(server.url, "run-1", STAGES, "Task exit-handler-1 failed.")
    assert found == {"pretrain": "", "update-catalogue": "cannot be resolved"}


@pytest.mark.parametrize("api", ["", "http://127.0.0.1:9"])
def test_without_the_api_it_says_what_it_was_told(api, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    assert failed_stages(api, "run-1", STAGES, "Task\n failed.") == {"unknown stage": "Task failed."}
    assert failed_stages(api, "run-1", STAGES, "") == {}


def test_the_component_links_to_the_run(server):
    status = PipelineTaskFinalStatus("FAILED", "", "exit-handler-1", 9, "Task failed.")
    report.python_func("higr-realign", "run-1", "check", server.url, "https://kfp.example.org/", "", status)
    (taken,) = server.taken
    assert taken["link"] == "https://kfp.example.org/#/runs/details/run-1"
    assert (taken["state"], taken["failed"]) == ("FAILED", {"unknown stage": "Task failed."})


def test_a_success_has_no_failed_stage(server):
    status = PipelineTaskFinalStatus("SUCCEEDED", "", "exit-handler-1", None, None)
    report.python_func("higr-realign", "run-1", "check", server.url, "", server.url, status)
    assert server.taken[0]["failed"] == {}
