"""The slate model, from nothing."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pretrain(
    config: str,
    data: Input[Dataset],
    tokens: Input[Model],
    model: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Train encoder, planner and generator on engaged slates."""
    from pathlib import Path

    from components.stage import Stage

    with Stage("pretrain", config) as stage:
        from higr import stages

        figures = stages.pretrain(
            stage.config, Path(data.path), Path(tokens.path), Path(model.path), stage.progress
        )
        stage.record(figures, metrics, model)
