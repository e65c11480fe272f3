"""`pretrain` by a TrainJob, its own command run by real torchrun as a node would."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from components.distributed import pretrain_on_cluster
from components.launch import TrainJobError
from components.trainjob import GROUP, PLURAL, VERSION, TrainJobSettings
from higr import stages
from higr.config import load_config
from higr.errors import InputError
from tests.pipelines.tiny import OVERRIDES
from tests.tools import require

REPOSITORY = Path(__file__).parents[2]
# Processes draw their own dropout; without it they compute the same.
SHARED = {"training.parallel": "ddp", "training.shards": 2, "model.dropout": 0.0}
CONFIG = load_config("nano", OVERRIDES | SHARED)


class Node(threading.Thread):
    """Runs the first TrainJob that appears, and reports how it ended."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._jobs = client.CustomObjectsApi()
        self.output = ""

    def run(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if found := self._jobs.list_namespaced_custom_object(GROUP, VERSION, "models", PLURAL)["items"]:
                break
            time.sleep(0.05)
        (job,) = found
        trainer = job["spec"]["trainer"]
        environment = os.environ | {
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            # What the torch plugin of Kubeflow Trainer sets.
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_STANDALONE": "1",
        }
        done = subprocess.run(
            [str(Path(sys.executable).parent / trainer["command"][0]), *trainer["args"]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.output = done.stdout + done.stderr
        kind, message = ("Complete", "") if not done.returncode else ("Failed", f"exit {done.returncode}")
        condition = {
            "type": kind,
            "status": "True",
            "reason": "NodeEnded",
            "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        try:
            self._jobs.patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                "models",
                PLURAL,
                job["metadata"]["name"],
                {"status": {"conditions": [condition]}},
            )
        except ApiException as error:
            self.output += str(error)


@pytest.fixture
def node(tmp_path, monkeypatch) -> Iterator[Node]:
    tools, crds = require("kube-tools").parent, require("crds")
    sys.path.insert(0, str(tools))
    try:
        from kube_emulator import Emulator
    finally:
        sys.path.remove(str(tools))
    with Emulator(crd_paths=[str(crds)], namespaces=["models"], fakes_status=False) as emulator:
        path = emulator.write_kubeconfig(tmp_path / "kubeconfig.yaml", namespace="models")
        monkeypatch.setenv("KUBECONFIG", str(path))
        config.load_kube_config(config_file=str(path))
        yield Node()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    stages.prepare(CONFIG, folder / "data")
    stages.tokenize(CONFIG, folder / "data", folder / "tokens")
    return folder / "data", folder / "tokens"


@pytest.mark.slow
def test_two_processes_of_a_job_train_what_one_does(inputs, node, tmp_path):
    (tmp_path / "shared").mkdir()
    settings = TrainJobSettings(claim="c", mount=str(tmp_path / "shared"), processes=2, poll_seconds=0.2)
    data, tokens = inputs
    node.start()
    figures = pretrain_on_cluster(
        CONFIG, settings, "image", data, tokens, tmp_path / "model", inputs=("s3://data", "s3://tokens")
    )
    alone = stages.pretrain(CONFIG, data, tokens, tmp_path / "alone")
    assert figures.keys() == alone.keys()
    assert figures["parameters"] == alone["parameters"]
    for loss in ("train_loss", "validation_loss"):
        assert figures[loss] == pytest.approx(alone[loss], rel=1e-4)
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == sorted(
        file.name for file in (tmp_path / "alone").iterdir()
    )
    assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.slow
def test_a_node_that_fails_says_why_and_the_folder_stays_for_another_try(inputs, node, tmp_path):
    (tmp_path / "shared").mkdir()
    settings = TrainJobSettings(claim="c", mount=str(tmp_path / "shared"), poll_seconds=0.2)
    data, _ = inputs
    empty = tmp_path / "empty"
    empty.mkdir()
    node.start()
    with pytest.raises(TrainJobError, match="failed: exit 1"):
        pretrain_on_cluster(CONFIG, settings, "image", data, empty, tmp_path / "model", inputs=("a", "b"))
    node.join()
    assert "catalog.parquet does not exist" in node.output
    (folder,) = (tmp_path / "shared").iterdir()
    assert {"config.yaml", "data", "tokens"} <= {path.name for path in folder.iterdir()}
    assert not (tmp_path / "model").exists()


def test_a_claim_that_is_not_mounted_is_told_before_a_job_is_there(inputs, tmp_path):
    settings = TrainJobSettings(claim="models", mount=str(tmp_path / "shared"))
    with pytest.raises(InputError, match="mount claim models into this task"):
        pretrain_on_cluster(CONFIG, settings, "image", *inputs, tmp_path / "model", inputs=("a", "b"))
