"""All models on the test slates."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    config: str,
    data: Input[Dataset],
    tokens: Input[Model],
    baseline: Input[Model],
    pretrained: Input[Model],
    aligned: Input[Model],
    evaluation: Output[Artifact],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Compare all models on the test slates, with confidence intervals."""
    from pathlib import Path

    from components.stage import Stage

    with Stage("evaluate", config) as stage:
        from higr import stages

        out = Path(evaluation.path)
        stage.publish(out / "report.html", report.path)
        figures = stages.evaluate(
            stage.config,
            Path(data.path),
            Path(tokens.path),
            Path(baseline.path),
            Path(pretrained.path),
            Path(aligned.path),
            out,
            stage.progress,
        )
        stage.record(figures, metrics, evaluation)
