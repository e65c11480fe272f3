"""A bundle with another catalogue."""

from kfp import dsl
from kfp.dsl import Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def update_catalogue(
    items: str,
    remove: str,
    disable: str,
    enable: str,
    production: Input[Model],
    bundle: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """New items in, old ones out, without training; semantic IDs never change.

    items: Parquet file of new items and of new attributes, on a volume of this task; "" for none.
    remove, disable, enable: ids, comma-separated, or a .txt file with one a line.
    """
    from pathlib import Path

    from components.stage import Stage

    with Stage("update_catalogue") as stage:
        from higr.catalog_update import Changes, read_ids, update_bundle

        changes = Changes(
            Path(items) if items else None,
            remove=read_ids(remove, "remove"),
            disable=read_ids(disable, "disable"),
            enable=read_ids(enable, "enable"),
        )
        report = update_bundle(Path(production.path), Path(bundle.path), changes, stage.progress)
        for warning in report.warnings:
            stage.warn(warning)
        known = {name: value for name, value in report.figures().items() if value is not None}
        stage.record(known, metrics, bundle)
