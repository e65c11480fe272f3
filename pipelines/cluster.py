"""What the tasks of a pipeline ask of a cluster: one YAML file, read when the pipeline is compiled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from kfp import dsl, kubernetes
from pydantic import Field, StringConstraints, ValidationError, model_validator

from components.outcome import WEBHOOK
from components.trainjob import TrainJobSettings
from higr.config import Section
from higr.errors import InputError
from pipelines.graph import GRAPHS

ROLLOUT_NAMES = frozenset({"rollout", "promoted"})
STAGE_NAMES = (
    frozenset(name for graph in GRAPHS.values() for name in graph) | {"check", "report"} | ROLLOUT_NAMES
)

MAY_FLAKE = frozenset({"production", "materialise", "gate", "publish", "rollout"})
"""What talks to others is tried again without being told to. Hours of work are repeated by a person who has
read why they failed."""

Cpu = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?m?$")]
Memory = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?[KMGT]i?$")]


class Toleration(Section):
    """A taint of nodes that a task may run on all the same."""

    key: str
    operator: Literal["Equal", "Exists"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class SecretKey(Section):
    """Where a secret value lies; the value itself is never in a pipeline."""

    name: str = Field(min_length=1, description="of the Secret")
    key: str = Field(min_length=1)


class TaskSettings(Section):
    """Of one stage; what it leaves out is that of `default`."""

    cpu: Cpu = Field("1", description="cores asked for")
    cpu_limit: Cpu | None = Field(None, description="cores at most; none: no limit")
    memory: Memory = Field("4Gi", description="memory asked for, and the limit")
    gpus: int = Field(0, ge=0, le=16, description="accelerators of one task")
    gpu_resource: str = Field("nvidia.com/gpu", min_length=1, description="what the nodes call them")
    node_selector: dict[str, str] = Field({}, description="labels that a node must have")
    tolerations: tuple[Toleration, ...] = ()
    retries: int = Field(0, ge=0, le=10, description="after a failure of any kind")
    backoff_seconds: int = Field(30, ge=1, le=3600, description="before the first retry, doubled each time")
    timeout_seconds: int = Field(0, ge=0, description="0: none")
    volumes: dict[str, str] = Field({}, description="PersistentVolumeClaim to the path it is mounted at")
    environment: dict[str, str] = Field({}, description="variables that are no secret")
    secrets: dict[str, SecretKey] = Field({}, description="environment variable to the secret it holds")


class Cluster(Section):
    """The whole file."""

    default: TaskSettings = TaskSettings()
    stages: dict[str, TaskSettings] = Field(
        {},
        description="by stage, `check` and `report`, which every pipeline has, and the two of a rollout",
    )
    trainjob: TrainJobSettings | None = Field(
        None, description="pretrain as a Kubeflow Trainer TrainJob; none: in the task itself"
    )
    webhook: SecretKey | None = Field(
        None, description="secret that holds the webhook's URL; none: that of the parameter, if any"
    )

    @model_validator(mode="after")
    def _stages_exist(self) -> Self:
        if unknown := sorted(set(self.stages) - STAGE_NAMES):
            raise ValueError(f"stages: no stage {unknown[0]!r}; there are {', '.join(sorted(STAGE_NAMES))}")
        return self

    def of(self, stage: str) -> TaskSettings:
        """Defaults filled in."""
        own = self.stages.get(stage, TaskSettings()).model_dump(exclude_unset=True)
        usual = {"retries": 2} if stage in MAY_FLAKE else {}
        return TaskSettings.model_validate({**usual, **self.default.model_dump(exclude_unset=True), **own})

    def apply(self, stage: str, task: dsl.PipelineTask) -> None:
        """Write the settings of a stage into its task."""
        settings = self.of(stage)
        task.set_cpu_request(settings.cpu).set_memory_request(settings.memory)
        task.set_memory_limit(settings.memory)
        if settings.cpu_limit:
            task.set_cpu_limit(settings.cpu_limit)
        if settings.gpus:
            task.set_accelerator_type(settings.gpu_resource).set_accelerator_limit(settings.gpus)
        if settings.retries:
            task.set_retry(
                settings.retries,
                backoff_duration=f"{settings.backoff_seconds}s",
                backoff_factor=2.0,
                backoff_max_duration="3600s",
            )
        for label, value in settings.node_selector.items():
            kubernetes.add_node_selector(task, label, value)
        for one in settings.tolerations:
            kubernetes.add_toleration(task, one.key, one.operator, one.value, one.effect)
        for claim, path in settings.volumes.items():
            kubernetes.mount_pvc(task, claim, path)
        for variable, value in settings.environment.items():
            task.set_env_variable(variable, value)
        secrets = dict(settings.secrets)
        if stage == "report" and self.webhook is not None:
            secrets[WEBHOOK] = self.webhook
        if stage == "pretrain" and self.trainjob is not None:
            kubernetes.mount_pvc(task, self.trainjob.claim, self.trainjob.mount)
            # The job is the task's: it goes when the task's Pod does.
            kubernetes.use_field_path_as_env(task, "POD_NAME", "metadata.name")
            kubernetes.use_field_path_as_env(task, "POD_UID", "metadata.uid")
        for variable, secret in secrets.items():
            kubernetes.use_secret_as_env(task, secret.name, {secret.key: variable})
        if settings.timeout_seconds:
            kubernetes.set_timeout(task, settings.timeout_seconds)


def load_cluster(path: Path | None) -> Cluster:
    """Read the file; None: defaults.

    Raises:
        InputError: it cannot be read, or a field is unknown or out of range.
    """
    if path is None:
        return Cluster()
    try:
        document: Mapping[str, object] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Cluster.model_validate(document)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--cluster {path} cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise InputError(f"--cluster {path}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"--cluster {path}: {field}: {first['msg']} (got {first['input']!r})") from None
