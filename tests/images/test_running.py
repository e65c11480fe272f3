"""The serving image, run by podman as the chart's pods; `make test-images` builds it."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from tests.charts.rendering import Helm, set_json
from tests.images.builder import show
from tests.images.podman import USER, Podman
from tests.images.pods import ROLES, deployments
from tests.serving.process import free_port
from tests.tools import require

pytestmark = pytest.mark.slow


@pytest.fixture
def outside(nano_bundle: Path) -> Iterator[Path]:
    """Bundle and log where the container's user may look: pytest's own folders are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="higr-images-"))
    made.chmod(0o755)
    shutil.copytree(nano_bundle, made / "bundle")
    (made / "log").mkdir()
    os.chown(made / "log", 0, USER)  # as fsGroup has it
    (made / "log").chmod(0o2775)
    yield made
    shutil.rmtree(made)


def test_the_charts_pods_answer_slates(
    images: dict[str, dict[str, Any]], podman: Podman, outside: Path
) -> None:
    helm, ports = Helm(require("helm")), {role: free_port() for role in ROLES}
    values = set_json(predictionLog__claim="log", deadline__milliseconds=4000)
    service = helm.find("InferenceService", *values)
    maps = [helm.find("ConfigMap", *values, name=f"higr-{name}") for name in ("config", "switch")]
    pods = deployments(service, outside / "bundle", ports, {"log": outside / "log"})
    containers = {role: f"higr-{role}-pod-0-kserve-container" for role in ROLES}

    began = time.monotonic()
    with podman.playing([*maps, *pods]):
        for role in ROLES:
            wait(podman, containers[role], service["spec"][role], ports[role])
            show(f"{role}: ready {time.monotonic() - began:.1f} s after podman was called")
            assert is_confined(podman.pid(containers[role]))
        answered = slate(ports["transformer"], "first")
        assert (answered["source"], answered["fallback_reason"]) == ("higr", None)
        assert len({item["item_id"] for item in answered["items"]}) == 5

        podman.call("kill", "--signal", "KILL", containers["predictor"])
        fallen = slate(ports["transformer"], "second")
        assert (fallen["source"], fallen["fallback_reason"]) == ("baseline", "unreachable")
        assert len({item["item_id"] for item in fallen["items"]}) == 5
        log = podman.logs(containers["transformer"])
        podman.call("stop", "--time", "30", containers["transformer"])
    rows = [
        row
        for part in (outside / "log").glob("*.parquet")
        for row in pq.read_table(part)["request_id"].to_pylist()
    ]
    assert sorted(rows) == ["first", "second"]
    assert "Read-only file system" not in log
    assert "Permission denied" not in log
    show(
        f"slate by {answered['source']}; predictor killed: by {fallen['source']}, {fallen['fallback_reason']}"
    )


def wait(podman: Podman, container: str, component: dict[str, Any], port: int) -> None:
    """As the kubelet's readiness probe does: over HTTP, from outside the container."""
    path = component["containers"][0]["readinessProbe"]["httpGet"]["path"]
    end = time.monotonic() + 240
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, podman.logs(container)
        time.sleep(0.2)


def is_confined(pid: int) -> bool:
    """The process itself, as the kernel sees it."""
    status = Path(f"/proc/{pid}/status").read_text()
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    (root,) = (fields for fields in mounts if fields[4] == "/")
    assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in status
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    return "ro" in root[5].split(",")


def slate(port: int, request: str) -> dict[str, Any]:
    asked = {"instances": [{"user_id": "u0000000", "slate_size": 5, "request_id": request}]}
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/models/higr:predict", json=asked, timeout=30, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    return dict(prediction)
