"""The refresh pipeline: new items into the bundle in production, features of the latest logs; no training.

prepare -> materialise
production -> update_catalogue -> publish
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Metrics, Model

from components.image import IMAGE
from components.materialise import materialise
from components.prepare import prepare
from components.production import production
from components.update_catalogue import update_catalogue
from higr.config import RunConfig
from pipelines.cluster import Cluster
from pipelines.define import Wiring, config_text, described

NAME = "higr-refresh"
DESCRIPTION = "New items into the bundle in production, as a new version; features of the latest logs."


class Outputs(NamedTuple):
    """What the pipeline hands over."""

    bundle: Model
    features: Artifact
    published: Artifact
    prepare_metrics: Metrics
    materialise_metrics: Metrics
    production_metrics: Metrics
    update_catalogue_metrics: Metrics
    publish_metrics: Metrics


def refresh_pipeline(
    config: RunConfig, *, image: str = IMAGE, keys: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """The pipeline for a local run, with this default of its parameter `config`; keys: see `Wiring`."""
    wiring = Wiring("refresh", image, keys)

    @dsl.pipeline(name=NAME, display_name="HiGR refresh", description=DESCRIPTION)
    def refresh(
        config: str = config_text(config),
        store: str = "",
        items: str = "",
        remove: str = "",
        disable: str = "",
        enable: str = "",
    ) -> Outputs:
        return _wire(wiring, config, store, items, remove, disable, enable)

    return refresh


def refresh_on_cluster(config: RunConfig, image: str, cluster: Cluster) -> Callable[..., Any]:
    """The same stages between a check of the parameters and a report of how it ended."""
    wiring = Wiring("refresh", image, cluster=cluster)

    @dsl.pipeline(name=NAME, display_name="HiGR refresh", description=DESCRIPTION)
    @described("refresh")
    def refresh(
        config: str = config_text(config),
        store: str = "",
        webhook: str = "",
        ui: str = "",
        api: str = "",
        items: str = "",
        remove: str = "",
        disable: str = "",
        enable: str = "",
    ) -> None:
        given = {
            "config": config,
            "store": store,
            "webhook": webhook,
            "ui": ui,
            "api": api,
            "items": items,
            "remove": remove,
            "disable": disable,
            "enable": enable,
        }
        with wiring.reported(given):
            _wire(wiring, config, store, items, remove, disable, enable)

    return refresh


def _wire(
    ready: Wiring,
    config: Any,
    store: Any,
    items: Any,
    remove: Any,
    disable: Any,
    enable: Any,
) -> Outputs:
    prepared = ready.latest(prepare, config)
    features = ready("materialise", materialise(config=config, data=prepared.outputs["data"]))
    fetched = ready("production", production(store=store))
    updated = ready(
        "update_catalogue",
        update_catalogue(
            items=items,
            remove=remove,
            disable=disable,
            enable=enable,
            production=fetched.outputs["bundle"],
        ),
    )
    published = ready.publish(store, updated.outputs["bundle"])
    return Outputs(
        bundle=updated.outputs["bundle"],
        features=features.outputs["store"],
        published=published.outputs["published"],
        prepare_metrics=prepared.outputs["metrics"],
        materialise_metrics=features.outputs["metrics"],
        production_metrics=fetched.outputs["metrics"],
        update_catalogue_metrics=updated.outputs["metrics"],
        publish_metrics=published.outputs["metrics"],
    )
