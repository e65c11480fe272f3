"""The slate model, aligned on preferences."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def align(
    config: str,
    data: Input[Dataset],
    tokens: Input[Model],
    pretrained: Input[Model],
    model: Output[Model],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Align the pretrained model on listwise preferences, under guard (metric `guard_breached`).

    `report` shows the pairs; F-GRPO has none, so there it stays empty.
    """
    from pathlib import Path

    from components.stage import Stage

    with Stage("align", config) as stage:
        from higr import stages
        from higr.align.align import PAIRS_PAGE

        out = Path(model.path)
        stage.publish(out / PAIRS_PAGE, report.path)
        figures = stages.align(
            stage.config, Path(data.path), Path(tokens.path), Path(pretrained.path), out, stage.progress
        )
        stage.record(figures, metrics, model)
