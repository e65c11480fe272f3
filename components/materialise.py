"""The feature store: user contexts that serving reads."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def materialise(config: str, data: Input[Dataset], store: Output[Artifact], metrics: Output[Metrics]) -> None:
    """Write the offline sources, register the views, load the latest rows into the online store."""
    from pathlib import Path

    from components.stage import Stage

    with Stage("materialise", config) as stage:
        from feature_repo.store import materialise

        stage.progress("features", 0, 1)
        written = materialise(Path(data.path), Path(store.path), stage.config.data)
        stage.progress("features", 1, 1)
        stage.record({"users": written.users, "rows": written.rows}, metrics, store)
