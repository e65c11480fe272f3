"""Every pipeline by name, as it is on a cluster."""

from pathlib import Path

from components.image import IMAGE
from higr.config import RunConfig
from pipelines.cluster import Cluster
from pipelines.define import compile_to
from pipelines.realign import realign_on_cluster
from pipelines.refresh import refresh_on_cluster
from pipelines.training import training_on_cluster

ON_CLUSTER = {
    "training": training_on_cluster,
    "refresh": refresh_on_cluster,
    "realign": realign_on_cluster,
}


def compile_pipeline(
    name: str, config: RunConfig, out: Path, image: str = IMAGE, cluster: Cluster | None = None
) -> None:
    """Write a pipeline for a cluster; equal arguments give equal bytes.

    Raises:
        InputError: `out` is not named as Kubeflow wants it, or the configuration does not suit the TrainJob.
    """
    compile_to(ON_CLUSTER[name](config, image, cluster or Cluster()), out)
