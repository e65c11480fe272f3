"""A training as an object of Kubeflow Trainer: torchrun on every node over one shared folder.

The folder is on a volume that all nodes and the task that starts the job mount. It is a run directory of
`higr`: its data, tokens and configuration are read there, checkpoints and weights are written there, so a
job that is started again goes on where the last one stopped.
"""

from typing import Any, Literal

from pydantic import Field

from higr.config import RunConfig, Section
from higr.errors import InputError

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
MANAGER = "higr.pipelines/pretrain"
"""Owner of the job's patches to its runtime."""
USER = 10001
"""uid and gid of the images."""


class TrainJobSettings(Section):
    """What the nodes of a training are like."""

    claim: str = Field(
        min_length=1, description="PersistentVolumeClaim (ReadWriteMany if nodes > 1) for data and weights"
    )
    mount: str = Field("/shared", pattern=r"^/", description="where the claim is mounted, here and there")
    runtime: str = Field("torch-distributed", min_length=1, description="training runtime of the cluster")
    runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = "ClusterTrainingRuntime"
    nodes: int = Field(1, ge=1, le=1024)
    processes: int = Field(1, ge=1, le=16, description="of a node; with GPUs one each")
    cpu: str = Field("4", pattern=r"^\d+(\.\d+)?m?$", description="cores a node asks for")
    memory: str = Field("16Gi", pattern=r"^\d+(\.\d+)?[KMGT]i?$", description="of a node, also its limit")
    gpus: int = Field(0, ge=0, le=16, description="accelerators of a node")
    gpu_resource: str = Field("nvidia.com/gpu", min_length=1)
    node_selector: dict[str, str] = Field({}, description="labels that a node must have")
    tolerations: tuple[dict[str, str], ...] = Field((), description="as in a Pod")
    timeout_seconds: int = Field(86_400, ge=60, description="the job is stopped and deleted after it")
    poll_seconds: float = Field(10.0, gt=0, le=300, description="between two looks at the job")


def train_job(
    config: RunConfig,
    settings: TrainJobSettings,
    *,
    name: str,
    image: str,
    folder: str,
    owner: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The object that trains what `config` says in `folder`, a path on the claim.

    owner: name and uid of the Pod with whose end the job goes, too; None: nobody's.

    Raises:
        InputError: the configuration cannot be trained by that many processes; the field is named.
    """
    check_processes(config, settings)
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {"app.kubernetes.io/name": "higr", "app.kubernetes.io/component": "pretrain"},
    }
    if owner is not None:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", **owner}]
    limits = {"memory": settings.memory}
    if settings.gpus:
        limits[settings.gpu_resource] = str(settings.gpus)
    command = ["-m", "higr.cli", "pretrain", "--config", f"{folder}/config.yaml", "--out", folder, "--json"]
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": metadata,
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": settings.runtime_kind, "name": settings.runtime},
            "activeDeadlineSeconds": settings.timeout_seconds,
            "trainer": {
                "image": image,
                # The runtime tells torchrun by PET_* variables who takes part.
                "command": ["torchrun"],
                "args": command,
                "numNodes": settings.nodes,
                "numProcPerNode": settings.processes,
                "resourcesPerNode": {
                    "requests": {"cpu": settings.cpu, "memory": settings.memory},
                    "limits": limits,
                },
                "env": [{"name": "HOME", "value": "/tmp"}],
            },
            "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": _patch(settings)}],
        },
    }


def check_processes(config: RunConfig, settings: TrainJobSettings) -> None:
    """Whether so many processes can share the training.

    Raises:
        InputError: they cannot; the field is named.
    """
    size = settings.nodes * settings.processes
    if size > 1 and config.training.parallel == "none":
        raise InputError(
            f"training.parallel is none, but trainjob.nodes * trainjob.processes is {size}; set ddp or fsdp"
        )
    if config.training.shards % size:
        raise InputError(
            f"training.shards {config.training.shards} is not a multiple of trainjob.nodes * "
            f"trainjob.processes ({settings.nodes} * {settings.processes}); set it to one"
        )
    if settings.gpus and settings.gpus < settings.processes:
        raise InputError(
            f"trainjob.gpus is {settings.gpus}, fewer than trainjob.processes {settings.processes}; "
            "a process needs one of its own"
        )


def _patch(settings: TrainJobSettings) -> dict[str, Any]:
    """What the runtime's Pods get beside: the claim, a place for temporary files, no rights."""
    pod: dict[str, Any] = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "tmp", "emptyDir": {}},
            # Processes of one node hand tensors over by shared memory; 64 MB, the default, is too little.
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},
        ],
        "containers": [
            {
                "name": "node",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "shared", "mountPath": settings.mount},
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "shm", "mountPath": "/dev/shm"},
                ],
            }
        ],
    }
    if settings.node_selector:
        pod["nodeSelector"] = settings.node_selector
    if settings.tolerations:
        pod["tolerations"] = [dict(one) for one in settings.tolerations]
    replicated = {"name": "node", "template": {"spec": {"template": {"spec": pod}}}}
    return {"template": {"spec": {"replicatedJobs": [replicated]}}}
