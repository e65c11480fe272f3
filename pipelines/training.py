"""The training pipeline: from a source to a bundle, its evaluation and the features it is served with.

prepare -> tokenize -> pretrain -> align -> evaluate -> bundle -> gate -> publish
        -> baseline ------------------------/
        -> materialise

The last two only where a store is given: the gate compares with what is in production there.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Metrics, Model

from components.align import align
from components.baseline import baseline
from components.bundle import bundle
from components.evaluate import evaluate
from components.image import IMAGE
from components.materialise import materialise
from components.prepare import prepare
from components.pretrain import pretrain
from components.pretrain_job import pretrain_job
from components.tokenize import tokenize
from components.trainjob import check_processes
from higr.config import RunConfig
from pipelines.cluster import Cluster
from pipelines.define import Wiring, config_text, described

NAME = "higr-training"
DESCRIPTION = "Exposure logs in; a verified bundle, its evaluation and its features out."


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


def training_pipeline(
    config: RunConfig, *, image: str = IMAGE, keys: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """The pipeline for a local run, with this default of its parameter `config`; keys: see `Wiring`."""
    wiring = Wiring("training", image, keys)

    @dsl.pipeline(name=NAME, display_name="HiGR training", description=DESCRIPTION)
    def training(config: str = config_text(config), data_version: str = "", store: str = "") -> Outputs:
        return _wire(wiring, config, data_version, store)

    return training


def training_on_cluster(config: RunConfig, image: str, cluster: Cluster) -> Callable[..., Any]:
    """The same stages between a check of the parameters and a report of how it ended."""
    wiring = Wiring("training", image, cluster=cluster)
    if cluster.trainjob is not None:
        check_processes(config, cluster.trainjob)

    @dsl.pipeline(name=NAME, display_name="HiGR training", description=DESCRIPTION)
    @described("training")
    def training(
        config: str = config_text(config),
        data_version: str = "",
        store: str = "",
        webhook: str = "",
        ui: str = "",
        api: str = "",
    ) -> None:
        given = {
            "config": config,
            "data_version": data_version,
            "store": store,
            "webhook": webhook,
            "ui": ui,
            "api": api,
        }
        with wiring.reported(given):
            _wire(wiring, config, data_version, store)

    return training


def _wire(ready: Wiring, config: Any, data_version: Any, store: Any) -> Outputs:
    prepared = ready("prepare", prepare(config=config, data_version=data_version))
    data = prepared.outputs["data"]
    tokenized = ready("tokenize", tokenize(config=config, data=data))
    tokens = tokenized.outputs["tokens"]
    pretrained = ready("pretrain", _pretrain(ready, config, data, tokens))
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
    with dsl.If(store != "", name="store-is-given"):
        judged = ready.gate(config, store, data, bundled.outputs["bundle"])
        ready.publish(store, bundled.outputs["bundle"], judged)
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


def _pretrain(ready: Wiring, config: Any, data: Any, tokens: Any) -> dsl.PipelineTask:
    """In the task itself, or by a TrainJob that the task starts and waits for."""
    if ready.cluster is None or ready.cluster.trainjob is None:
        return pretrain(config=config, data=data, tokens=tokens)
    return pretrain_job(
        config=config,
        trainjob=ready.cluster.trainjob.model_dump_json(),
        image=ready.image,
        data=data,
        tokens=tokens,
    )
