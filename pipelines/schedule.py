"""Recurring runs of a pipeline on a Kubeflow Pipelines server."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.image import IMAGE
from components.parameters import read
from higr.config import RunConfig
from higr.errors import HigrError, InputError
from pipelines.cluster import Cluster
from pipelines.compiled import compile_pipeline
from pipelines.define import config_text

CRON_FIELDS = "second minute hour day month weekday"
FIELD = re.compile(r"^[\dA-Z*?,/-]+$")


@dataclass(frozen=True)
class Schedule:
    """When a pipeline runs, where, and as whom.

    One run at a time; what was missed while it was off, or while a run went on, is not made up for.

    Attributes:
        host: of the KFP API, http(s)://...
        cron: six fields, see `CRON_FIELDS`.
        name: of the recurring run; one of this name in this experiment is replaced.
        experiment, namespace: where runs are listed; None: the server's default.
        service_account: of the runs; None: the server's default.
    """

    host: str
    cron: str
    name: str
    experiment: str
    namespace: str | None = None
    service_account: str | None = None

    def __post_init__(self) -> None:
        if not self.host.startswith(("http://", "https://")):
            raise InputError(f"--host {self.host!r}: an http:// or https:// address is due")
        fields = self.cron.upper().split()
        if len(fields) != len(CRON_FIELDS.split()) or not all(map(FIELD.match, fields)):
            raise InputError(
                f"--cron {self.cron!r}: six fields are due ({CRON_FIELDS}), such as '0 15 * * * *' for a "
                "quarter past every hour"
            )


def schedule(
    pipeline: str,
    config: RunConfig,
    parameters: Mapping[str, Any],
    when: Schedule,
    image: str = IMAGE,
    cluster: Cluster | None = None,
) -> str:
    """Compile the pipeline and have the server run it again and again; the id of the recurring run.

    Raises:
        InputError: a parameter out of range.
        HigrError: the server does not answer, or refuses.
    """
    # The store may be out of reach from here: the task `check` of every run asks it.
    typed = read(pipeline, {"config": config_text(config), **parameters})
    given = {name: getattr(typed, name) for name in ("config", *parameters)}
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_pipeline(pipeline, config, package, image, cluster)
        try:
            return _create(when, pipeline, package, given)
        except Exception as error:  # the client raises what its transport raises
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise HigrError(f"{pipeline} was not scheduled at {when.host}: {reason}") from None


def _create(when: Schedule, pipeline: str, package: Path, given: Mapping[str, Any]) -> str:
    import kfp

    client = kfp.Client(host=when.host, namespace=when.namespace or "kubeflow")
    experiment = client.create_experiment(when.experiment, namespace=when.namespace).experiment_id
    before = client.list_recurring_runs(experiment_id=experiment, page_size=100).recurring_runs or []
    made = client.create_recurring_run(
        experiment_id=experiment,
        job_name=when.name,
        description=f"HiGR {pipeline}",
        cron_expression=when.cron,
        max_concurrency=1,
        no_catchup=True,
        params=dict(given),
        pipeline_package_path=str(package),
        service_account=when.service_account,
    )
    # After the new one is there: a refusal leaves what was.
    for old in before:
        if old.display_name == when.name:
            client.delete_recurring_run(old.recurring_run_id)
    return str(made.recurring_run_id)
