"""The bundle in production, aligned on what its users did lately."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def realign(
    config: str,
    hours: float,
    data: Input[Dataset],
    production: Input[Model],
    bundle: Output[Model],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Align on the last hours of the logs, in small steps and under guard (metric `guard_breached`).

    The newest slates of these hours are not learned from: the gate measures on them. `report` shows the
    pairs; F-GRPO has none, so there it stays empty.
    """
    from pathlib import Path

    from components.stage import Stage

    with Stage("realign", config) as stage:
        from higr import production as stages
        from higr.align.align import PAIRS_PAGE

        out = Path(bundle.path)
        stage.publish(out.with_name(f"{out.name}.align") / PAIRS_PAGE, report.path)
        figures = stages.realign(
            stage.config, Path(production.path), Path(data.path), out, hours, stage.progress
        )
        stage.record(figures, metrics, bundle)
