import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.image import IMAGE
from higr.config import load_config, parse_config
from higr.errors import InputError
from pipelines.graph import STAGES, ancestors
from pipelines.training import compile_pipeline, config_text

GRAPH = {
    "prepare": [],
    "tokenize": ["prepare"],
    "baseline": ["prepare"],
    "materialise": ["prepare"],
    "pretrain": ["prepare", "tokenize"],
    "align": ["prepare", "pretrain", "tokenize"],
    "evaluate": ["align", "baseline", "prepare", "pretrain", "tokenize"],
    "bundle": ["align", "baseline", "evaluate", "prepare", "tokenize"],
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    out = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_pipeline(load_config("demo"), out)
    return out.read_text()


@pytest.fixture(scope="module")
def spec(text):
    (document,) = yaml.safe_load_all(text)
    return json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)


def test_compiles_to_the_same_bytes_again(text, tmp_path):
    compile_pipeline(load_config("demo"), tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == text.encode()


def test_the_graph(spec):
    tasks = spec.root.dag.tasks
    assert {name: sorted(task.dependent_tasks) for name, task in tasks.items()} == GRAPH
    assert {name: task.task_info.name for name, task in tasks.items()} == {
        name: stage.title for name, stage in STAGES.items()
    }


def test_the_table_of_stages_is_the_graph():
    assert {name: sorted(stage.after) for name, stage in STAGES.items()} == GRAPH
    ran: set[str] = set()
    for name, stage in STAGES.items():
        assert ran.issuperset(stage.after), f"{name} is listed before a stage it follows"
        ran.add(name)
    assert ancestors("evaluate") == {"prepare", "tokenize", "pretrain", "align", "baseline"}
    assert ancestors("prepare") == frozenset()


def test_outputs(spec):
    outputs = {
        name: (
            selected.artifact_selectors[0].producer_subtask,
            selected.artifact_selectors[0].output_artifact_key,
        )
        for name, selected in spec.root.dag.outputs.artifacts.items()
    }
    assert outputs == {
        "data": ("prepare", "data"),
        "bundle": ("bundle", "bundle"),
        "evaluation": ("evaluate", "evaluation"),
        "features": ("materialise", "store"),
        "tokenizer_report": ("tokenize", "report"),
        "pairs_report": ("align", "report"),
        "evaluation_report": ("evaluate", "report"),
        **{f"{name}_metrics": (name, "metrics") for name in GRAPH},
    }


def test_nothing_of_this_machine_is_in_it(text):
    for path in (Path(__file__).parents[2], Path.home(), Path.cwd()):
        assert f"{path}/" not in text
    assert "cacheKey" not in text
    assert "pip install" not in text


def test_every_task_may_be_cached_and_runs_in_the_image(spec):
    assert all(task.caching_options.enable_cache for task in spec.root.dag.tasks.values())
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {IMAGE}
    assert re.fullmatch(r"higr/train:\d+\.\d+\.\d+", IMAGE)


def test_another_image(tmp_path):
    image = "registry.example/higr/train@sha256:" + "0" * 64
    compile_pipeline(load_config("nano"), tmp_path / "p.yaml", image)
    (document,) = yaml.safe_load_all((tmp_path / "p.yaml").read_text())
    executors = document["deploymentSpec"]["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {image}


@pytest.mark.parametrize("preset", ["demo", "kuairand", "nano"])
def test_its_default_is_the_configuration(preset, tmp_path):
    config = load_config(preset)
    assert parse_config(config_text(config)) == config
    compile_pipeline(config, tmp_path / "p.yaml")
    (document,) = yaml.safe_load_all((tmp_path / "p.yaml").read_text())
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {"config", "data_version"}
    assert parse_config(parameters["config"]["defaultValue"]) == config
    assert parameters["data_version"]["defaultValue"] == ""


def test_a_file_kubeflow_would_not_take(tmp_path):
    with pytest.raises(InputError, match=r"\.yaml"):
        compile_pipeline(load_config("nano"), tmp_path / "pipeline.txt")
    assert list(tmp_path.iterdir()) == []
