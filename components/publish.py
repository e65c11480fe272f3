"""The bundle in the store."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish(
    store: str, by: str, bundle: Input[Model], published: Output[Artifact], metrics: Output[Metrics]
) -> None:
    """Copy the bundle to the store as a new version; nothing serves it yet.

    by: who the store's history names. `published` is a JSON file: version, uri, whether it is new.
    """
    from pathlib import Path

    from components.stage import Stage

    with Stage("publish") as stage:
        from higr import production
        from higr.files import write_json

        figures = production.publish(
            Path(bundle.path), store, by, "passed the gate of its pipeline", stage.progress
        )
        write_json(Path(published.path), figures)
        stage.record(figures, metrics, published)
