"""Source to checked tables, slates and a split by time."""

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(config: str, data_version: str, data: Output[Dataset], metrics: Output[Metrics]) -> None:
    """Check the source's tables, label engagement, build slates, split by time.

    config: the run's configuration, YAML or JSON. data_version: a name for the state of the files under
    `data.path`, which on a cluster is a folder mounted into this task; a cached result is reused for an
    equal name. The simulator has no files and needs none.
    """
    from pathlib import Path

    from components.stage import Stage

    with Stage("prepare", config) as stage:
        from components.parameters import need_version
        from higr import stages

        need_version(stage.config, data_version)
        figures = stages.prepare(stage.config, Path(data.path), stage.progress)
        stage.record(figures, metrics, data)
