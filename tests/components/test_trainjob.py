"""The TrainJob as an object: strict against the CRD, and only what its nodes can share."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from components.trainjob import TrainJobSettings, train_job
from higr.config import load_config
from higr.errors import InputError
from tests.tools import require


@pytest.fixture(scope="module")
def errors_of() -> Callable[[dict[str, Any]], list[str]]:
    """Everything that is wrong with a manifest, by the CRDs of Kubeflow Trainer."""
    tools, crds = require("kube-tools").parent, require("crds")
    sys.path.insert(0, str(tools))
    try:
        from crd_schema import manifest_errors
        from kube_emulator.schemas import DEFAULT_KUBERNETES_VERSION, SchemaCatalog
    finally:
        sys.path.remove(str(tools))
    catalog = SchemaCatalog([str(crds)], DEFAULT_KUBERNETES_VERSION)
    return lambda manifest: manifest_errors(catalog, manifest)


def job(overrides: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    return train_job(
        load_config("nano", overrides),
        TrainJobSettings(claim="higr-training", **settings),
        name="higr-pretrain-0",
        image="registry.example/higr/train:1",
        folder="/shared/higr-pretrain-0",
        owner={"name": "a-pod", "uid": "0b6e"},
    )


DDP = {"training.parallel": "ddp", "training.shards": 8}


@pytest.mark.parametrize(
    "given",
    [
        job(),
        job(DDP, nodes=2, processes=4, gpus=4, cpu="32", memory="256Gi"),
        job(
            DDP,
            nodes=4,
            runtime="torch-own",
            runtime_kind="TrainingRuntime",
            node_selector={"nvidia.com/gpu.product": "NVIDIA-H200"},
            tolerations=({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
        ),
    ],
)
def test_it_is_valid_against_the_crd(given, errors_of):
    assert errors_of(given) == []


def test_the_schema_would_tell(errors_of):
    broken = job()
    broken["spec"]["trainer"]["numNode"] = 2
    assert any("numNode" in error for error in errors_of(broken))


def test_every_node_runs_the_stage_in_the_shared_folder():
    spec = job(DDP, nodes=2, processes=4, gpus=4)["spec"]
    trainer = spec["trainer"]
    assert [*trainer["command"], *trainer["args"][:3]] == ["torchrun", "-m", "higr.cli", "pretrain"]
    assert trainer["args"][trainer["args"].index("--out") + 1] == "/shared/higr-pretrain-0"
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4)
    assert trainer["resourcesPerNode"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "4"}
    assert spec["activeDeadlineSeconds"] == 86_400


def test_nodes_have_no_rights_and_write_to_the_claim_alone():
    (patch,) = job()["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (replicated["name"], container["name"]) == ("node", "node")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    kinds = {volume["name"]: set(volume) - {"name"} for volume in pod["volumes"]}
    assert kinds == {"shared": {"persistentVolumeClaim"}, "tmp": {"emptyDir"}, "shm": {"emptyDir"}}


@pytest.mark.parametrize(
    ("overrides", "settings", "message"),
    [
        ({}, {"nodes": 2}, r"training\.parallel is none"),
        ({"training.parallel": "ddp", "training.shards": 2}, {"processes": 4}, r"training\.shards 2 is not"),
        (DDP, {"processes": 4, "gpus": 2}, r"trainjob\.gpus is 2, fewer than trainjob\.processes 4"),
    ],
)
def test_what_the_processes_cannot_share_is_refused(overrides, settings, message):
    with pytest.raises(InputError, match=message):
        job(overrides, **settings)
