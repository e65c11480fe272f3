"""Components as functions, without Kubeflow around them."""

import inspect
import json
from pathlib import Path
from typing import get_type_hints

import pytest
from kfp import dsl
from kfp.dsl.types import type_annotations

from components.align import align
from components.baseline import baseline
from components.bundle import bundle
from components.evaluate import evaluate
from components.image import IMAGE
from components.materialise import materialise
from components.prepare import prepare
from components.pretrain import pretrain
from components.tokenize import tokenize

COMPONENTS = {
    "prepare": prepare,
    "tokenize": tokenize,
    "baseline": baseline,
    "pretrain": pretrain,
    "align": align,
    "evaluate": evaluate,
    "bundle": bundle,
    "materialise": materialise,
}
READERS = [name for name in COMPONENTS if name != "prepare"]
TINY = "data: {simulator: {users: 20, items: 30, slates_per_user: 8, days: 8}}"


def call(name, artifact, **parameters):
    """Call the function with an artifact of its own for every artifact it declares."""
    function = COMPONENTS[name].python_func
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


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_bad_configuration_is_one_line(name, artifact, events, error_line):
    version = {"data_version": ""} if name == "prepare" else {}
    with pytest.raises(SystemExit) as ended:
        call(name, artifact, config="data: {slate_size: 0}", **version)
    assert ended.value.code == 2
    assert error_line().startswith(f"higr: {name}: configuration: data.slate_size: ")


@pytest.mark.parametrize("name", READERS)
def test_missing_input_is_one_line_and_leaves_nothing(name, artifact, events, error_line, tmp_path):
    with pytest.raises(SystemExit) as ended:
        call(name, artifact, config=TINY)
    assert ended.value.code == 2
    line = error_line()
    assert line.startswith(f"higr: {name}: ")
    assert "does not exist" in line
    assert list((tmp_path / "task").iterdir()) == []


def test_files_need_a_version(artifact, events, error_line):
    with pytest.raises(SystemExit):
        call("prepare", artifact, config="data: {source: tables, path: /logs}", data_version="")
    assert "data_version is empty" in error_line()


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_image_holds_the_project_so_nothing_is_installed(name):
    container = COMPONENTS[name].component_spec.implementation.container
    assert container.image == IMAGE
    assert "pip install" not in " ".join([*container.command, *container.args])
    assert COMPONENTS[name].description


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_gives_metrics(name):
    assert COMPONENTS[name].component_spec.outputs["metrics"].type == dsl.Metrics.schema_title + "@0.0.1"
