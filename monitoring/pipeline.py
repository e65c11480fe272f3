"""A trip may start a pipeline, such as the refresh or the alignment, on a Kubeflow Pipelines server."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from higr.errors import HigrError, InputError
from higr.files import read_json


class PipelineTarget(BaseModel):
    """What to start, by cause.

    Attributes:
        host: of the KFP API, http(s)://...
        packages: cause to the compiled pipeline (YAML) that mends it; `default` for every other one.
        parameters: of the pipelines.
        experiment, namespace: where the run is listed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    packages: Mapping[str, str]
    parameters: Mapping[str, str] = {}
    experiment: str = "higr-drift"
    namespace: str | None = None

    @classmethod
    def load(cls, path: Path) -> "PipelineTarget":
        """Raises: InputError: missing, not JSON, or a field is wrong."""
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def package(self, cause: str | None) -> str | None:
        return self.packages.get(cause or "", self.packages.get("default"))


def start(target: PipelineTarget, cause: str | None, name: str) -> str | None:
    """Start the pipeline for this cause; its run id, or None where none is named for it.

    Raises:
        HigrError: the server cannot be asked, or refuses.
    """
    package = target.package(cause)
    if package is None:
        return None
    import kfp

    try:
        client = kfp.Client(host=target.host, namespace=target.namespace or "kubeflow")
        run = client.create_run_from_pipeline_package(
            package,
            arguments=dict(target.parameters),
            run_name=name,
            experiment_name=target.experiment,
            namespace=target.namespace,
        )
    except Exception as error:  # the client raises what its transport raises
        raise HigrError(
            f"pipeline {package} was not started at {target.host}: {' '.join(str(error).split())[:200]}"
        ) from None
    return str(run.run_id)
