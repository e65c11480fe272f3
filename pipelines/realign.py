"""The realign pipeline: the bundle in production, aligned on the last hours of feedback.

prepare ----> realign -> gate -> publish
production -/
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Metrics, Model

from components.image import IMAGE
from components.prepare import prepare
from components.production import production
from components.realign import realign
from higr.config import RunConfig
from pipelines.cluster import Cluster
from pipelines.define import Wiring, config_text, described

NAME = "higr-realign"
DESCRIPTION = "The bundle in production, aligned on the last hours of feedback; published if it is no worse."


class Outputs(NamedTuple):
    """What the pipeline hands over."""

    bundle: Model
    published: Artifact
    pairs_report: HTML
    gate_report: HTML
    prepare_metrics: Metrics
    production_metrics: Metrics
    realign_metrics: Metrics
    gate_metrics: Metrics
    publish_metrics: Metrics


def realign_pipeline(
    config: RunConfig, *, image: str = IMAGE, keys: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """The pipeline for a local run, with this default of its parameter `config`; keys: see `Wiring`."""
    wiring = Wiring("realign", image, keys)

    @dsl.pipeline(name=NAME, display_name="HiGR realign", description=DESCRIPTION)
    def realign(config: str = config_text(config), store: str = "", hours: float = 6.0) -> Outputs:
        return _wire(wiring, config, store, hours)

    return realign


def realign_on_cluster(config: RunConfig, image: str, cluster: Cluster) -> Callable[..., Any]:
    """The same stages between a check of the parameters and a report of how it ended."""
    wiring = Wiring("realign", image, cluster=cluster)

    @dsl.pipeline(name=NAME, display_name="HiGR realign", description=DESCRIPTION)
    @described("realign")
    def realign(
        config: str = config_text(config),
        store: str = "",
        webhook: str = "",
        ui: str = "",
        api: str = "",
        hours: float = 6.0,
    ) -> None:
        given = {
            "config": config,
            "store": store,
            "webhook": webhook,
            "ui": ui,
            "api": api,
            "hours": hours,
        }
        with wiring.reported(given):
            _wire(wiring, config, store, hours)

    return realign


def _wire(ready: Wiring, config: Any, store: Any, hours: Any) -> Outputs:
    prepared = ready.latest(prepare, config)
    data = prepared.outputs["data"]
    fetched = ready("production", production(store=store))
    aligned = ready(
        "realign", realign(config=config, hours=hours, data=data, production=fetched.outputs["bundle"])
    )
    judged = ready.gate(config, store, data, aligned.outputs["bundle"])
    published = ready.publish(store, aligned.outputs["bundle"], judged)
    return Outputs(
        bundle=aligned.outputs["bundle"],
        published=published.outputs["published"],
        pairs_report=aligned.outputs["report"],
        gate_report=judged.outputs["report"],
        prepare_metrics=prepared.outputs["metrics"],
        production_metrics=fetched.outputs["metrics"],
        realign_metrics=aligned.outputs["metrics"],
        gate_metrics=judged.outputs["metrics"],
        publish_metrics=published.outputs["metrics"],
    )
