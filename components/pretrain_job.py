"""The slate model, from nothing, on the nodes of a TrainJob."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pretrain_job(
    config: str,
    trainjob: str,
    image: str,
    data: Input[Dataset],
    tokens: Input[Model],
    model: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """As `pretrain`, under torchrun on the nodes that `trainjob` describes; this task waits for them.

    trainjob: `components.trainjob.TrainJobSettings` as JSON. image: what the nodes run.
    """
    from pathlib import Path

    from components.stage import Stage

    with Stage("pretrain", config) as stage:
        from components.distributed import pretrain_on_cluster
        from components.trainjob import TrainJobSettings

        figures = pretrain_on_cluster(
            stage.config,
            TrainJobSettings.model_validate_json(trainjob),
            image,
            Path(data.path),
            Path(tokens.path),
            Path(model.path),
            inputs=(data.uri, tokens.uri),
        )
        stage.record(figures, metrics, model)
