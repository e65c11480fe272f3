"""From a metric that moves to the page, and back, through real Prometheus, Alertmanager and Pushgateway.

Rules, routes and scrape jobs are those of the repository; only windows, waits and addresses are others.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import start_http_server

from monitoring import jobs
from monitoring.alerting.files import documents
from monitoring.alerting.settings import RuleSettings
from monitoring.exporter import registry as drift_registry
from monitoring.result import ColumnDrift, DriftResult, Verdict, WindowSummary
from monitoring.watch import Options
from tests.monitoring.alerting.processes import Process, alertmanager, eventually, prometheus, pushgateway
from tests.monitoring.alerting.test_alertmanager import EXAMPLES
from tests.monitoring.month import DAYS, Month
from tests.serving.process import Server, free_port
from tests.tools import REPOSITORY, require

FASTER = 120.0
"""Five minutes are two and a half seconds."""
RUNBOOKS = "https://wiki.example.org/runbooks"


class Inbox:
    """Takes what Alertmanager sends; a receiver's messages lie under its name."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.messages += [(self.path[1:], alert) for alert in json.loads(body)["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, receiver: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{receiver}"

    def find(self, receiver: str, alert: str, status: str) -> dict[str, Any] | None:
        """The last one sent there."""
        for to, message in reversed(self.messages):
            if (to, message["labels"]["alertname"], message["status"]) == (receiver, alert, status):
                return message
        return None

    def wait(self, receiver: str, alert: str, status: str) -> dict[str, Any]:
        eventually(f"{alert} {status} at {receiver}", lambda: self.find(receiver, alert, status) is not None)
        message = self.find(receiver, alert, status)
        assert message is not None
        return message


class Service:
    """A transformer and its predictor, two processes, under traffic."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self._folder, self._bundle = folder, bundle
        self.switch_file = folder / "switch"
        self.switch_file.write_text("auto\n")
        self.made_by: tuple[str, str | None] = ("", None)
        """Of the last slate: source and reason."""
        self._port = free_port()
        self._predictor = self._start_predictor()
        host = f"127.0.0.1:{self._port}"
        # A deadline that holds while the machine does other things.
        arguments = ["--role", "transformer", "--predictor_host", host, "--deadline-ms", "10000"]
        self.transformer = Server(
            folder, "higr", ["--bundle", str(bundle), *arguments, "--switch", str(self.switch_file)]
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._traffic)

    def begin(self) -> None:
        """Traffic, once both answer."""
        self._predictor.wait()
        self.transformer.wait()
        self._thread.start()

    def break_higr(self) -> None:
        self._predictor.stop()

    def mend_higr(self) -> None:
        self._predictor = self._start_predictor().wait()

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._predictor.stop()
        self.transformer.stop()

    def _start_predictor(self) -> Server:
        arguments = ["--bundle", str(self._bundle), "--role", "predictor"]
        return Server(self._folder, "higr-predictor", arguments, self._port)

    def _traffic(self) -> None:
        while not self._ended.wait(0.1):
            (slate,) = self.transformer.predict({"user_id": "u"})
            self.made_by = slate["source"], slate["fallback_reason"]


def _close(server: Any) -> None:
    server.shutdown()
    server.server_close()


def verdict(path: Path, verdict: Verdict) -> None:
    """A result of the drift job that ends now."""
    window = WindowSummary(since=None, until=None, rows={"predictions": 500}, skipped={}, notes=())
    column = ColumnDrift(
        column="served_code_1", verdict=verdict, psi=0.61, rows_reference=500, rows_current=500
    )
    DriftResult(
        verdict=verdict,
        reason="as the test wants it",
        bundle_version="v",
        finished_at=datetime.now(UTC),
        min_rows=200,
        reference=window,
        current=window,
        columns=(column,),
    ).save(path)


def prometheus_config(folder: Path, targets: dict[str, str], alerts: str) -> Path:
    config = yaml.safe_load((EXAMPLES / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "250ms"}
    config["rule_files"] = [str(folder / "rules" / "*.yaml")]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alerts]}]}]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yaml"


def alertmanager_config(folder: Path, inbox: Inbox) -> Path:
    """The example's routes and inhibitions; each receiver a webhook of the inbox, mails too."""
    config = yaml.safe_load((EXAMPLES / "alertmanager.yaml").read_text())
    del config["global"]
    for receiver in config["receivers"]:
        name = receiver["name"]
        receiver.clear()
        receiver |= {"name": name, "webhook_configs": [{"url": inbox.url(name), "send_resolved": True}]}

    def hurry(route: dict[str, Any]) -> None:
        route |= {"group_wait": "200ms", "group_interval": "1s", "repeat_interval": "1h"}
        for child in route.get("routes", []):
            hurry(child)

    hurry(config["route"])
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump(config))
    return folder / "alertmanager.yaml"


class World:
    """Everything that runs."""

    def __init__(self, folder: Path, bundle: Path, stack: ExitStack) -> None:
        self.folder, self.inbox = folder, Inbox()
        stack.callback(_close, self.inbox.server)
        self.service = Service(folder, bundle)
        stack.callback(self.service.close)
        self.result = folder / "drift.json"
        verdict(self.result, "ok")
        drift, _ = start_http_server(0, "127.0.0.1", drift_registry(self.result))
        stack.callback(_close, drift)
        self.gateway: Process = stack.enter_context(pushgateway(folder))
        self.alertmanager: Process = stack.enter_context(
            alertmanager(folder, alertmanager_config(folder, self.inbox))
        )
        settings = RuleSettings(runbooks=RUNBOOKS, time_scale=FASTER, drift_period_seconds=86_400)
        (folder / "rules").mkdir()
        for name, text in documents(settings).items():
            (folder / "rules" / name).write_text(text)
        targets = {
            "higr-serving": f"127.0.0.1:{self.service.transformer.port}",
            "higr-drift": f"127.0.0.1:{drift.server_port}",
            "pushgateway": self.gateway.address,
        }
        self.prometheus: Process = stack.enter_context(
            prometheus(folder, prometheus_config(folder, targets, self.alertmanager.address))
        )
        self.service.begin()

    def job(self, code: int) -> None:
        """A scheduled job that ends with this exit code."""
        command = [sys.executable, "-c", f"raise SystemExit({code})"]
        assert jobs.watched(self.gateway.address, "features", 86_400, command) == code

    def suppressed(self, alert: str) -> bool:
        alerts = httpx.get(f"{self.alertmanager.url}/api/v2/alerts", trust_env=False).json()
        return any(
            found["labels"]["alertname"] == alert and found["status"]["inhibitedBy"] for found in alerts
        )


@contextmanager
def world(folder: Path, bundle: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(folder, bundle, stack)


@pytest.mark.slow
def test_a_metric_moves_the_right_person_is_told_and_told_again_when_it_is_over(
    tmp_path: Path, nano_bundle: Path, logs: Month
) -> None:
    """Slates are of the nano bundle; the drift job reads a month of the monitoring tests' own small one."""
    for tool in ("prometheus", "alertmanager", "pushgateway"):
        require(tool)
    with world(tmp_path, nano_bundle) as all_of_it:
        inbox, service = all_of_it.inbox, all_of_it.service
        all_of_it.job(0)
        inbox.wait("dead-man", "HigrWatchdog", "firing")
        eventually("nobody is called", lambda: not _pages(all_of_it))

        # 1. HiGR goes away, drift pages, a job fails: each calls whom it concerns.
        service.break_higr()
        verdict(all_of_it.result, "page")
        all_of_it.job(3)
        fallen = inbox.wait("serving-pager", "HigrMostlyFallback", "firing")
        assert "of slates were not made by the model" in fallen["annotations"]["description"]
        drifted = inbox.wait("ml-pager", "HigrDriftPage", "firing")
        assert "served_code_1 (0.61)" in drifted["annotations"]["description"]
        failed = inbox.wait("ml-mail", "HigrJobFailed", "firing")
        assert failed["annotations"]["description"] == "Job features ended with exit code 3."
        for message in (fallen, drifted, failed):
            page = message["annotations"]["runbook_url"]
            assert page.startswith(RUNBOOKS)
            assert (REPOSITORY / "docs/runbooks" / page.removeprefix(RUNBOOKS + "/")).is_file()

        # 2. Made safe, by the command of the runbook: that is told, and fallbacks are no news any more.
        subprocess.run(["sh", "-c", f"echo baseline > {service.switch_file}"], check=True)
        inbox.wait("serving-mail", "HigrSwitchOnBaseline", "firing")
        eventually("the page is silenced", lambda: all_of_it.suppressed("HigrMostlyFallback"))

        # 3. Mended, and put back: all are told that it is over.
        service.mend_higr()
        verdict(all_of_it.result, "ok")
        all_of_it.job(0)
        service.switch_file.write_text("auto\n")
        inbox.wait("serving-mail", "HigrSwitchOnBaseline", "resolved")
        inbox.wait("ml-pager", "HigrDriftPage", "resolved")
        inbox.wait("ml-mail", "HigrJobFailed", "resolved")
        eventually("no page is left", lambda: not _pages(all_of_it))
        eventually("HiGR makes the slates", lambda: service.made_by == ("higr", None))

        # 4. A day that harms users: the job moves the switch, pages, and pushes what it saw.
        logs.write_trip(DAYS)
        acting = Options(switch=service.switch_file, pushgateway=all_of_it.gateway.address)
        assert logs.run(DAYS, acting).verdict == "trip"
        tripped = inbox.wait("ml-pager", "HigrDriftTrip", "firing")
        assert (REPOSITORY / "docs/runbooks" / Path(tripped["annotations"]["runbook_url"]).name).is_file()
        eventually("the baseline makes the slates", lambda: service.made_by == ("baseline", "switch"))

        # 5. The next day is as days are; a person puts the switch back.
        logs.write(DAYS + 1)
        assert logs.run(DAYS + 1, acting).verdict == "ok"
        inbox.wait("ml-pager", "HigrDriftTrip", "resolved")
        service.switch_file.write_text("auto\n")
        eventually("HiGR makes the slates", lambda: service.made_by == ("higr", None))


def _pages(all_of_it: World) -> list[str]:
    """That are pending or firing."""
    alerts = httpx.get(f"{all_of_it.prometheus.url}/api/v1/alerts", trust_env=False).json()["data"]["alerts"]
    return [alert["labels"]["alertname"] for alert in alerts if alert["labels"]["severity"] == "page"]
