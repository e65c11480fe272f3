"""One verified directory that serving loads."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def bundle(
    config: str,
    data: Input[Dataset],
    tokens: Input[Model],
    baseline: Input[Model],
    model: Input[Model],
    evaluation: Input[Artifact],
    bundle: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Assemble and verify the bundle; its version is in the artifact's metadata."""
    from pathlib import Path

    from components.stage import Stage

    with Stage("bundle", config) as stage:
        from higr import stages

        figures = stages.bundle(
            stage.config,
            Path(data.path),
            Path(tokens.path),
            Path(baseline.path),
            Path(model.path),
            Path(evaluation.path),
            Path(bundle.path),
            stage.progress,
        )
        stage.record(figures, metrics, bundle)
