"""rollout.yaml and the command: what is wrong is one line that names the field, and exit code 2."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from higr.errors import InputError
from serving.rollout.config import read_rollout
from tests.serving.rollout.objects import write_config
from tests.tools import REPOSITORY


def test_two_names_are_enough(tmp_path: Path) -> None:
    config = read_rollout(write_config(tmp_path / "rollout.yaml"))
    assert [step.weight for step in config.steps] == [5, 20, 50]
    assert config.selector("stable") == 'namespace="models",pod=~"higr-transformer-.+"'
    assert config.selector("canary") == 'namespace="models",pod=~"higr-canary-transformer-.+"'
    given = config.model_copy(update={"canary_selector": 'job="canary"'})
    assert given.selector("canary") == 'job="canary"'


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stepps": []}, "stepps: Extra inputs"),
        ({"steps": []}, "steps: Tuple should have at least 1 item"),
        ({"steps": [{"weight": 100}]}, "steps.0.weight: Input should be less than or equal to 99"),
        ({"steps": [{"weight": 20}, {"weight": 5}]}, r"weights are \[20, 5\]; each must be greater"),
        ({"steps": [{"weight": 5, "greatest_seconds": 10}]}, "greatest_seconds is 10, not more than"),
        ({"steps": [{"weight": 5, "least_slates": 10}]}, "steps.0.least_slates"),
        ({"slow": [{"seconds": 0.2}]}, "slow.0.seconds: 0.2 is no bucket of higr_request_seconds; give one"),
        ({"slow": [{}, {}]}, "name each once"),
        ({"errors": None, "fallback": None, "slow": []}, "leave one on"),
        ({"errors": {"margin": 0}}, "errors.margin"),
        ({"alpha": 0.5}, "alpha"),
        ({"prometheus": {"url": "prometheus:9090"}}, "prometheus.url: not a URL of http"),
        ({"prometheus": {"url": "http://a:b@prometheus"}}, "prometheus.url: a URL with a password"),
        ({"name": "Higr"}, "name: String should match"),
        ({"namespace": ""}, "namespace: String should match"),
        ({"on_timeout": "promote"}, "on_timeout: Input should be"),
        ({"outcomes": {"watch_seconds": {"margin": 1}}}, "outcomes.watch_seconds.margin"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_rollout(write_config(tmp_path / "rollout.yaml", **fields))


def command(tmp_path: Path, server: str | None, **fields: Any) -> subprocess.CompletedProcess[str]:
    kubeconfig = tmp_path / "kubeconfig"
    if server is not None:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {"token": "hush"}}],
        }
        kubeconfig.write_text(yaml.safe_dump(document))
    environment = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    return subprocess.run(
        [
            *(sys.executable, "-m", "serving.rollout", "--once"),
            *("--config", str(write_config(tmp_path / "rollout.yaml", **fields))),
        ],
        cwd=REPOSITORY,
        env=environment | {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Forbidding(BaseHTTPRequestHandler):
    """An API server that allows nothing."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()
        self.wfile.write(b'{"kind": "Status", "code": 403}')

    def log_message(self, *_: Any) -> None: ...


def test_who_may_not_is_told_in_one_line(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forbidding)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        ended = command(tmp_path, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        "rollout: may not get ConfigMap higr-rollout in namespace models; run as the service account that "
        "rollout.enabled makes"
    ]


@pytest.mark.parametrize(
    ("server", "fields", "line"),
    [
        (None, {}, "rollout: no way to the cluster ("),
        ("http://127.0.0.1:9", {"alpha": 2}, "rollout: rollout "),
        ("http://127.0.0.1:9", {"prometheus": {"token_file": "/nowhere"}}, "rollout: prometheus.token_file"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, server: str | None, fields: dict[str, Any], line: str) -> None:
    ended = command(tmp_path, server, **fields)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith(line)


def test_an_api_server_out_of_reach_is_waited_for(tmp_path: Path) -> None:
    ended = command(tmp_path, "http://127.0.0.1:9")
    assert ended.returncode == 0, ended.stderr
    assert "cannot get ConfigMap higr-rollout: the API server is out of reach" in ended.stdout
