"""Items to semantic IDs, behind the quality gate."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tokenize(
    config: str,
    data: Input[Dataset],
    tokens: Output[Model],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Learn semantic IDs and judge them; fails here if they are too poor to train on."""
    from pathlib import Path

    from components.stage import Stage

    with Stage("tokenize", config) as stage:
        from higr import stages

        out = Path(tokens.path)
        stage.publish(out / "report.html", report.path)
        figures = stages.tokenize(stage.config, Path(data.path), out, stage.progress)
        stage.record(figures, metrics, tokens)
