"""The bundle in production, out of the store."""

from kfp import dsl
from kfp.dsl import Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def production(store: str, bundle: Output[Model], metrics: Output[Metrics]) -> None:
    """Fetch the bundle in production and verify it; its version is in the artifact's metadata."""
    from pathlib import Path

    from components.stage import Stage

    with Stage("production") as stage:
        from higr import production

        figures = production.fetch(store, Path(bundle.path), stage.progress)
        stage.record(figures, metrics, bundle)
