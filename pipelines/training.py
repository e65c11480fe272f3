"""The training pipeline: from a source to a bundle, its evaluation and the features it is served with.

prepare -> tokenize -> pretrain -> align -> evaluate -> bundle
        -> baseline ------------------------/
        -> materialise
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl
from kfp.dsl import HTML, Artifact, Dataset, Metrics, Model

from components.align import align
from components.baseline import baseline
from components.bundle import bundle
from components.evaluate import evaluate
from components.image import IMAGE
from components.materialise import materialise
from components.prepare import prepare
from components.pretrain import pretrain
from components.tokenize import tokenize
from higr.config import RunConfig
from higr.errors import InputError
from higr.files import atomic_file
from pipelines.graph import STAGES

NAME = "higr-training"


class Outputs(NamedTuple):
    """What the pipeline hands over."""

    data: Dataset
    bundle: Model
    evaluation: Artifact
    features: Artifact
    tokenizer_report: HTML
    pairs_report: HTML
    evaluation_report: HTML
    prepare_metrics: Metrics
    tokenize_metrics: Metrics
    pretrain_metrics: Metrics
    align_metrics: Metrics
    baseline_metrics: Metrics
    evaluate_metrics: Metrics
    bundle_metrics: Metrics
    materialise_metrics: Metrics


def config_text(config: RunConfig) -> str:
    """The whole configuration, defaults filled in: what the pipeline takes as `config`.

    One line of JSON: KFP writes defaults of parameters into a comment at the head of the YAML, and a
    default of several lines breaks out of it.
    """
    return config.model_dump_json()


def training_pipeline(
    config: RunConfig, *, version: str = "", image: str = IMAGE, keys: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """The pipeline with these defaults of its parameters `config` and `data_version`.

    keys: cache key of each stage, for local runs. Without them a cluster's own key holds: image, command and
    arguments; hence the image's tag must name the code, and `data_version` the state of the source's files.
    """

    def ready(name: str, task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_display_name(STAGES[name].title)
        task.set_container_image(image)
        task.set_caching_options(True, cache_key=keys[name] if keys else None)
        return task

    @dsl.pipeline(
        name=NAME,
        display_name="HiGR training",
        description="Exposure logs in; a verified bundle, its evaluation and its features out.",
    )
    def training(config: str = config_text(config), data_version: str = version) -> Outputs:
        prepared = ready("prepare", prepare(config=config, data_version=data_version))
        data = prepared.outputs["data"]
        tokenized = ready("tokenize", tokenize(config=config, data=data))
        tokens = tokenized.outputs["tokens"]
        pretrained = ready("pretrain", pretrain(config=config, data=data, tokens=tokens))
        aligned = ready(
            "align",
            align(config=config, data=data, tokens=tokens, pretrained=pretrained.outputs["model"]),
        )
        incumbent = ready("baseline", baseline(config=config, data=data))
        evaluated = ready(
            "evaluate",
            evaluate(
                config=config,
                data=data,
                tokens=tokens,
                baseline=incumbent.outputs["model"],
                pretrained=pretrained.outputs["model"],
                aligned=aligned.outputs["model"],
            ),
        )
        bundled = ready(
            "bundle",
            bundle(
                config=config,
                data=data,
                tokens=tokens,
                baseline=incumbent.outputs["model"],
                model=aligned.outputs["model"],
                evaluation=evaluated.outputs["evaluation"],
            ),
        )
        features = ready("materialise", materialise(config=config, data=data))
        return Outputs(
            data=data,
            bundle=bundled.outputs["bundle"],
            evaluation=evaluated.outputs["evaluation"],
            features=features.outputs["store"],
            tokenizer_report=tokenized.outputs["report"],
            pairs_report=aligned.outputs["report"],
            evaluation_report=evaluated.outputs["report"],
            prepare_metrics=prepared.outputs["metrics"],
            tokenize_metrics=tokenized.outputs["metrics"],
            pretrain_metrics=pretrained.outputs["metrics"],
            align_metrics=aligned.outputs["metrics"],
            baseline_metrics=incumbent.outputs["metrics"],
            evaluate_metrics=evaluated.outputs["metrics"],
            bundle_metrics=bundled.outputs["metrics"],
            materialise_metrics=features.outputs["metrics"],
        )

    return training


def compile_pipeline(config: RunConfig, out: Path, image: str = IMAGE) -> None:
    """Write the pipeline for a cluster; the same configuration and image give the same bytes.

    Raises:
        InputError: `out` is not named as Kubeflow wants it.
    """
    if out.suffix not in {".yaml", ".yml"}:
        raise InputError(f"{out}: Kubeflow takes .yaml; name the file so")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(training_pipeline(config, image=image), str(written))
        text = written.read_text()
    with atomic_file(out) as aside:
        aside.write_text(text)
        aside.chmod(0o644)
