"""Components as functions, without Kubeflow around them."""

import inspect
import json
import shutil
from pathlib import Path
from typing import get_type_hints

import pytest
from kfp import dsl
from kfp.dsl.types import type_annotations

from components.align import align
from components.baseline import baseline
from components.bundle import bundle
from components.check import check
from components.evaluate import evaluate
from components.gate import gate
from components.image import IMAGE
from components.materialise import materialise
from components.prepare import prepare
from components.pretrain import pretrain
from components.pretrain_job import pretrain_job
from components.production import production
from components.publish import publish
from components.realign import realign
from components.report import report
from components.tokenize import tokenize
from components.update_catalogue import update_catalogue
from higr.bundle import Bundle
from higr.store.store import BundleStore

COMPONENTS = {
    "prepare": prepare,
    "tokenize": tokenize,
    "baseline": baseline,
    "pretrain": pretrain,
    "align": align,
    "evaluate": evaluate,
    "bundle": bundle,
    "materialise": materialise,
    "gate": gate,
    "publish": publish,
    "production": production,
    "update_catalogue": update_catalogue,
    "realign": realign,
    "pretrain_job": pretrain_job,
}
WITHOUT_FIGURES = {"check": check, "report": report}
GIVEN = {
    "prepare": {"data_version": ""},
    "gate": {"store": "nowhere"},
    "publish": {"store": "nowhere", "by": "test"},
    "production": {"store": "nowhere"},
    "update_catalogue": {"items": "", "remove": "a", "disable": "", "enable": ""},
    "realign": {"hours": 6.0},
    "pretrain_job": {"trainjob": '{"claim": "c", "mount": "/nowhere"}', "image": "image"},
}
"""Parameters beside `config`."""
NAMES = {"pretrain_job": "pretrain"}
"""Of a component that stands in for another stage."""
CONFIGURED = [n for n in COMPONENTS if n not in {"publish", "production", "update_catalogue"}]
READERS = [name for name in COMPONENTS if name not in {"prepare", "production", "pretrain_job"}]
TINY = "data: {simulator: {users: 20, items: 30, slates_per_user: 8, days: 8}}"


def call(name, artifact, **parameters):
    """Call the function with an artifact of its own for every artifact it declares."""
    function = {**COMPONENTS, **WITHOUT_FIGURES}[name].python_func
    hints = get_type_hints(function, include_extras=True)
    given = dict(parameters)
    for parameter in inspect.signature(function).parameters:
        if type_annotations.is_artifact_wrapped_in_Input(
            hints[parameter]
        ) or type_annotations.is_artifact_wrapped_in_Output(hints[parameter]):
            given[parameter] = artifact(type_annotations.get_io_artifact_class(hints[parameter]), parameter)
    function(**given)
    return given


def test_prepare_writes_data_and_figures(artifact, events):
    given = call("prepare", artifact, config=TINY, data_version="")
    files = {file.name for file in Path(given["data"].path).iterdir()}
    assert {"events.parquet", "items.parquet", "users.parquet", "slates.parquet"} <= files
    assert given["metrics"].metadata["users"] == 20
    assert len(given["data"].metadata["fingerprint"]) == 12
    assert "fingerprint" not in given["metrics"].metadata
    assert json.loads(Path(given["metrics"].path).read_text())["figures"]["users"] == 20
    assert [event.kind for event in events()][-1] == "finished"


def test_features_follow_data(artifact, events, tmp_path):
    call("prepare", artifact, config=TINY, data_version="")
    given = call("materialise", artifact, config=TINY)
    assert (Path(given["store"].path) / "online.db").is_file()
    assert given["metrics"].metadata["users"] == 20


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_bad_configuration_is_one_line(name, artifact, events, error_line):
    with pytest.raises(SystemExit) as ended:
        call(name, artifact, config="data: {slate_size: 0}", **GIVEN.get(name, {}))
    assert ended.value.code == 2
    assert error_line().startswith(f"higr: {NAMES.get(name, name)}: configuration: data.slate_size: ")


@pytest.mark.parametrize("name", READERS)
def test_missing_input_is_one_line_and_leaves_nothing(
    name, artifact, events, error_line, tmp_path, monkeypatch
):
    configured = {"config": TINY} if name in CONFIGURED else {}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        call(name, artifact, **configured, **GIVEN.get(name, {}))
    assert ended.value.code == 2
    line = error_line()
    assert line.startswith(f"higr: {NAMES.get(name, name)}: ")
    assert "does not exist" in line or "is not a bundle" in line
    assert list((tmp_path / "task").iterdir()) == []


def test_files_need_a_version(artifact, events, error_line):
    with pytest.raises(SystemExit):
        call("prepare", artifact, config="data: {source: tables, path: /logs}", data_version="")
    assert "data_version is empty" in error_line()


@pytest.mark.parametrize("name", [*COMPONENTS, *WITHOUT_FIGURES])
def test_the_image_holds_the_project_so_nothing_is_installed(name):
    component = {**COMPONENTS, **WITHOUT_FIGURES}[name]
    container = component.component_spec.implementation.container
    assert container.image == IMAGE
    assert "pip install" not in " ".join([*container.command, *container.args])
    assert component.description


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_gives_metrics(name):
    assert COMPONENTS[name].component_spec.outputs["metrics"].type == dsl.Metrics.schema_title + "@0.0.1"


def test_a_bundle_goes_into_the_store_and_out_of_it(artifact, events, nano_bundle, tmp_path):
    store = str(tmp_path / "store")
    bundle = artifact(dsl.Model, "bundle")
    shutil.copytree(nano_bundle, bundle.path)
    given = call(
        "publish",
        lambda kind, name: bundle if name == "bundle" else artifact(kind, name),
        store=store,
        by="a run",
    )
    version = Bundle.open(nano_bundle).version
    told = json.loads(Path(given["published"].path).read_text())
    assert told == {"version": version, "uri": f"{store}/versions/{version}", "new": 1}
    assert given["published"].metadata["uri"] == told["uri"]
    (act,) = BundleStore(store).index().acts
    assert (act.kind, act.by) == ("publish", "a run")
    BundleStore(store).promote(version, by="test")
    shutil.rmtree(bundle.path)
    fetched = call("production", artifact, store=store)
    assert fetched["bundle"].metadata["version"] == version
    assert Bundle.open(Path(fetched["bundle"].path)).version == version


def test_a_store_without_a_production_ends_what_needs_one(artifact, events, error_line, tmp_path):
    with pytest.raises(SystemExit):
        call("production", artifact, store=str(tmp_path / "store"))
    assert "nothing is in production" in error_line()


def test_warnings_of_an_update_reach_the_log(artifact, events, nano_bundle, caplog):
    production = artifact(dsl.Model, "production")
    shutil.copytree(nano_bundle, production.path)
    gone = Bundle.open(nano_bundle).catalog.item_ids[0]
    given = call(
        "update_catalogue",
        lambda kind, name: production if name == "production" else artifact(kind, name),
        items="",
        remove=f"{gone}, nobody",
        disable="",
        enable="",
    )
    assert given["metrics"].metadata["removed"] == 1
    assert any("nobody" in record.getMessage() for record in caplog.records)
