"""The candidate beside the bundle in production."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(
    config: str,
    store: str,
    data: Input[Dataset],
    bundle: Input[Model],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Compare the bundle with the one in production on the same test slates; fails here if it is worse.

    store: root of the bundle store. Where nothing is in production it passes, `compared` is 0 and the page
    stays empty. A realigned bundle is measured on the slates that its window left out.
    """
    from datetime import datetime
    from pathlib import Path

    from components.stage import Stage

    with Stage("gate", config) as stage:
        from higr import production

        page = Path(report.path).with_name("gate.html")
        stage.publish(page, report.path)
        start = bundle.metadata.get("test_start")
        figures = production.gate(
            stage.config,
            Path(data.path),
            Path(bundle.path),
            store,
            page,
            datetime.fromisoformat(start) if start else None,
            stage.progress,
        )
        stage.record(figures, metrics)
