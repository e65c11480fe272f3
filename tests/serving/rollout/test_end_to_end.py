"""A canary's whole life: the controller as a process, real Prometheus, two serving processes, both logs.

Only the gateway and the API server are stand-ins: a proxy with the weights of the HTTPRoute that the emulator
holds. Steps last seconds, margins are wide; the code and its statistics are those of a cluster.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from higr.bundle import Bundle, write_bundle
from higr.data.prepared import PreparedData
from higr.store.store import BundleStore
from tests.monitoring.alerting.processes import Process, eventually, free_port, prometheus
from tests.serving.conftest import CONFIG
from tests.serving.process import Server
from tests.serving.rollout import faulty
from tests.serving.rollout.gateway import Gateway
from tests.serving.rollout.objects import Cluster, emulated, route, write_config
from tests.tools import REPOSITORY, require

pytestmark = pytest.mark.slow

SETTLE = 1.5
LIKED = 6.0
QUICK: dict[str, Any] = {
    "look_seconds": 1,
    "steps": [
        {"weight": 30, "least_seconds": 2, "least_slates": 100, "greatest_seconds": 240},
        {"weight": 50, "least_seconds": 2, "least_slates": 100, "greatest_seconds": 240},
    ],
    "errors": {"margin": 0.1},
    "fallback": {"margin": 0.1},
    "slow": [{"seconds": 1.0, "margin": 0.1}],
    "outcomes": {
        "settle_seconds": SETTLE,
        "late_seconds": 60,
        "effective_views": {"margin": 0.15},
        "watch_seconds": {"margin": 0.1},
    },
    "on_timeout": "hold",
    "ready_seconds": 60,
}
PATIENCE = 550.0


@dataclass(frozen=True)
class World:
    folder: Path
    cluster: Cluster
    gateway: Gateway
    prometheus: Process
    store: BundleStore
    stable: Bundle
    candidate: Bundle
    fault: Path

    def begin(self, fault: str = "", **fields: Any) -> tuple[list[dict[str, Any]], str]:
        """A rollout from its beginning to its end: lines it printed, and its last phase."""
        self.fault.write_text(fault)
        self.cluster.set_uri("higr", self.store.uri(self.stable.version))
        self.cluster.set_route(route(0))
        self.cluster.record(command="restart", reason="test", ordered_by="Test")
        settings = QUICK | {"prometheus": {"url": self.prometheus.url, "stale_seconds": 15}} | fields
        config = write_config(self.folder / "rollout.yaml", store=str(self.folder / "store"), **settings)
        ended = subprocess.run(
            [sys.executable, "-m", "serving.rollout", "--config", str(config)],
            cwd=REPOSITORY,
            env=os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        return lines, self.cluster.data()["phase"]


@pytest.fixture(scope="module")
def world(workshop: Path, bundle: Bundle, data: PreparedData) -> Iterator[World]:
    require("prometheus")
    folder = workshop / "rollout"
    folder.mkdir()
    candidate = write_bundle(
        workshop / "candidate",
        items=data.items,
        tokenizer=workshop / "tokenizer",
        catalog=workshop / "catalog.parquet",
        model=workshop / "model",
        baseline=workshop / "baseline",
        reference={},
        data_fingerprint=data.report["fingerprint"],
        config=CONFIG.model_dump(mode="json"),
        metrics={"candidate": 1.0},
    )
    store = BundleStore(str(folder / "store"))
    for one in (bundle, candidate):
        store.publish(one.path, "test")
    store.promote(bundle.version, "test")
    link = folder / "current"
    link.symlink_to(store.uri(bundle.version))
    fault = folder / "fault"
    fault.write_text("")
    with ExitStack() as stack:
        cluster = stack.enter_context(emulated(folder))
        cluster.install(store.uri(bundle.version), store.uri(candidate.version))
        stable = _serve(stack, folder, "stable", link)
        canary = _serve(stack, folder, "canary", Path(store.uri(candidate.version)), fault)
        port = _count_outcomes(stack, folder, bundle)
        for server in (stable, canary):
            server.wait()
        server = stack.enter_context(prometheus(folder, _scrape(folder, stable.port, canary.port, port)))
        users = data.users["user_id"].to_pylist()
        gateway = Gateway(cluster, (stable, canary), link, users)
        stack.callback(gateway.stop)
        yield World(folder, cluster, gateway, server, store, bundle, candidate, fault)


def _serve(stack: ExitStack, folder: Path, side: str, bundle: Path, fault: Path | None = None) -> Server:
    (folder / "serving.yaml").write_text(yaml.safe_dump({"logs": {"part_seconds": 1}}))
    arguments = [
        *("--bundle", str(bundle), "--deadline-ms", "8000", "--config", str(folder / "serving.yaml")),
        *("--log-dir", str(folder / side / "predictions"), "--feedback-dir", str(folder / side / "feedback")),
    ]
    within: tuple[str, ...] = ()
    if fault is not None:
        within = (sys.executable, "-m", faulty.__name__)
    environment = {faulty.FAULT: str(fault)} if fault else {}
    server = Server(folder, "higr", arguments, environment=environment, within=within)
    stack.callback(server.stop)
    return server


def _count_outcomes(stack: ExitStack, folder: Path, bundle: Bundle) -> int:
    """The port of its metrics."""
    folders = []
    for log in ("predictions", "feedback"):
        for side in ("stable", "canary"):
            (folder / side / log).mkdir(parents=True, exist_ok=True)
            folders += [f"--{log}", str(folder / side / log)]
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "monitoring", "outcomes", "--bundle", str(bundle.path), *folders),
            *("--settle", str(SETTLE), "--every", "0.5", "--port", str(port), "--address", "127.0.0.1"),
        ],
        cwd=REPOSITORY,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return port


def _scrape(folder: Path, stable: int, canary: int, outcomes: int) -> Path:
    def job(name: str, port: int, pod: str) -> dict[str, Any]:
        labels = {"namespace": "models", "pod": pod}
        return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}

    path = folder / "prometheus.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
                "scrape_configs": [
                    job("stable", stable, "higr-transformer-6d9f-0"),
                    job("canary", canary, "higr-canary-transformer-77c4-0"),
                    job("outcomes", outcomes, "higr-outcomes-0"),
                ],
            }
        )
    )
    return path


@pytest.mark.parametrize(
    ("name", "measure"), [("slow", "slow_1"), ("erring", "errors"), ("worse watch time", "watch_seconds")]
)
def test_a_bad_candidate_is_rolled_back(world: World, name: str, measure: str) -> None:
    world.gateway.liked = {world.candidate.version: LIKED * (0.6 if name == "worse watch time" else 1)}
    began = time.time()
    lines, phase = world.begin(fault=name if name in ("slow", "erring") else "")
    assert phase == "rolled-back", lines[-1]
    assert measure in lines[-1]["why"]
    worse = [f["measure"] for f in lines[-1]["findings"] if f["standing"] == "worse"]
    assert measure in worse
    # Nothing of it is served, and nothing but the record has changed.
    assert world.cluster.weight() == (100, 0)
    assert world.cluster.uris("higr") == {world.store.uri(world.stable.version)}
    assert world.store.index().production == world.stable.version
    data = world.cluster.data()
    assert (data["weight"], data["by"], data["command"]) == ("0", "rollout", "auto")
    history = json.loads(data["state"])["history"]
    assert [entry["phase"] for entry in history[-2:]] == ["reverting", "rolled-back"]
    assert all(entry["at"] >= began - 1 for entry in history)
    assert any(reason == "RolledBack" and measure in message for reason, message in world.cluster.events())


def test_a_candidate_that_nobody_asks_is_held(world: World) -> None:
    world.gateway.liked = {}
    world.gateway.deaf = True
    steps = [{"weight": 30, "least_seconds": 1, "least_slates": 100, "greatest_seconds": 4}]
    try:
        lines, phase = world.begin(steps=steps)
    finally:
        world.gateway.deaf = False
    assert phase == "held", lines[-1]
    assert "0 of at least 100 slates" in lines[-1]["why"]
    assert world.cluster.weight() == (70, 30), "a hold moves nothing"
    assert world.cluster.uris("higr") == {world.store.uri(world.stable.version)}


def test_a_good_candidate_is_promoted(world: World) -> None:
    world.gateway.liked = {}
    lines, phase = world.begin()
    assert phase == "promoted", lines[-1]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert {line["weight"] for line in lines} == {30, 50, 0}
    new = world.store.uri(world.candidate.version)
    assert world.cluster.weight() == (100, 0)
    assert world.cluster.uris("higr") == {new}
    assert world.cluster.data("bundle")["stable"] == new
    assert world.store.index().production == world.candidate.version
    assert {"Begun", "Step", "Promoted"} <= {reason for reason, _ in world.cluster.events()}
    served = world.prometheus
    query = {"query": 'higr_bundle_info{pod=~"higr-transformer-.+"} == 1'}
    import httpx

    def versions() -> list[str]:
        answer = httpx.get(f"{served.url}/api/v1/query", params=query, trust_env=False).json()
        return [one["metric"]["version"] for one in answer["data"]["result"]]

    eventually("the stable side serves it", lambda: versions() == [world.candidate.version])
