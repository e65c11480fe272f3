"""`helm test`: the script in the test pod passes on a good slate and fails, saying why, on anything else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.charts.rendering import CHART, Helm

GOOD = {"predictions": [{"items": [{"item_id": str(number)} for number in range(5)]}]}
TWICE = {"predictions": [{"items": [{"item_id": "7"}] * 5}]}
SHORT = {"predictions": [{"items": [{"item_id": "7"}]}]}


class _Endpoint(BaseHTTPRequestHandler):
    """Answers as the server's `answer` says; a body that is not the documented request gets 400."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = body == {"instances": [{"user_id": "helm-test", "slate_size": 5}]}
        right = known and self.path == "/v1/models/higr:predict"
        status, answer = self.server.answer if right else (400, {})  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(helm: Helm, url: str) -> subprocess.CompletedProcess[str]:
    """Run what the rendered pod runs, with another address."""
    container = helm.find("Pod")["spec"]["containers"][0]
    assert container["command"] == ["python", "-c"]
    script, _ = container["args"]
    return subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("status", "answer", "code", "said"),
    [
        (200, GOOD, 0, "slate of 5 items: 0 1 2 3 4"),
        (200, TWICE, 1, "asked for 5 different items"),
        (200, SHORT, 1, "asked for 5 different items"),
        (200, {"predictions": []}, 1, "ValueError"),
        (200, {}, 1, "KeyError"),
        (200, b"not json", 1, "JSONDecodeError"),
        (503, {}, 1, "503"),
    ],
)
def test_verdict(
    helm: Helm, endpoint: ThreadingHTTPServer, status: int, answer: object, code: int, said: str
) -> None:
    endpoint.answer = (status, answer)  # type: ignore[attr-defined]
    finished = ask(helm, f"http://127.0.0.1:{endpoint.server_port}")

    assert finished.returncode == code
    assert said in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr


def test_nobody_there(helm: Helm, endpoint: ThreadingHTTPServer) -> None:
    endpoint.server_close()
    finished = ask(helm, f"http://127.0.0.1:{endpoint.server_port}")

    assert finished.returncode == 1
    assert "no slate from" in finished.stderr


def test_the_pod_runs_the_file_and_asks_the_transformer(helm: Helm) -> None:
    script, url = helm.find("Pod")["spec"]["containers"][0]["args"]

    assert script.strip() == (CHART / "files" / "smoke.py").read_text().strip()
    assert url == "http://higr-transformer.models"
