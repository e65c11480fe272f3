"""The incumbent, which is also the serving fallback."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def baseline(config: str, data: Input[Dataset], model: Output[Model], metrics: Output[Metrics]) -> None:
    """Fit the incumbent: retrieval, pointwise ranking, diversity re-ranking."""
    from pathlib import Path

    from components.stage import Stage

    with Stage("baseline", config) as stage:
        from higr import stages

        figures = stages.fit_baseline(stage.config, Path(data.path), Path(model.path), stage.progress)
        stage.record(figures, metrics, model)
