"""Every pipeline as a cluster gets it.

After a wanted change of a graph or of what its tasks ask for, write the golden files anew, read their diff:

    python -m tests.pipelines.test_compiled
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import kubernetes as kfp_kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2

from components.image import IMAGE
from components.parameters import PARAMETERS
from higr.config import load_config, parse_config
from higr.errors import InputError
from pipelines.cluster import Cluster, load_cluster
from pipelines.compiled import compile_pipeline
from pipelines.define import config_text
from pipelines.graph import GRAPHS, STAGES, ancestors

GOLDEN = Path(__file__).parent / "golden"
CLUSTER = GOLDEN / "cluster.yaml"
"""Every setting once."""
CONFIG = "the whole configuration"
INSIDE = {"training": ("gate", "publish"), "refresh": (), "realign": ()}
"""Stages under the condition that a store is given."""


def compiled(name: str, folder: Path, cluster: Cluster | None = None, preset: str = "demo") -> str:
    out = folder / f"{name}.yaml"
    overrides = {"training.parallel": "ddp", "training.shards": 4}
    compile_pipeline(name, load_config(preset, overrides), out, cluster=cluster)
    return out.read_text()


def parsed(text: str) -> tuple[pipeline_spec_pb2.PipelineSpec, dict[str, Any]]:
    """The IR, strictly, and what it asks of Kubernetes by task."""
    documents = list(yaml.safe_load_all(text))
    spec = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    if len(documents) == 1:
        return spec, {}
    platform = json_format.ParseDict(
        documents[1], pipeline_spec_pb2.PlatformSpec(), ignore_unknown_fields=False
    )
    executors = json_format.MessageToDict(platform.platforms["kubernetes"].deployment_spec)["executors"]
    for executor in executors.values():
        json_format.ParseDict(
            executor,
            kfp_kubernetes.kubernetes_executor_config_pb2.KubernetesExecutorConfig(),
            ignore_unknown_fields=False,
        )
    return spec, executors


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("compiled")
    return {name: compiled(name, folder) for name in GRAPHS}


@pytest.fixture(params=list(GRAPHS))
def name(request) -> str:
    return request.param


def tasks_of(spec: pipeline_spec_pb2.PipelineSpec) -> dict[str, Any]:
    """Every task inside the exit handler, conditions opened, by the name of its stage."""
    found: dict[str, Any] = {}

    def open_up(dag: Any) -> None:
        for name, task in dag.tasks.items():
            component = spec.components[task.component_ref.name]
            if component.HasField("dag"):
                open_up(component.dag)
            else:
                found[name.replace("-", "_")] = task

    open_up(spec.components["comp-exit-handler-1"].dag)
    return found


def test_compiles_to_the_same_bytes_again(name, texts, tmp_path):
    assert compiled(name, tmp_path) == texts[name]


def test_the_graph(name, texts):
    spec, _ = parsed(texts[name])
    tasks, graph = tasks_of(spec), GRAPHS[name]
    assert set(tasks) == {*graph, "check"}
    for stage, task in tasks.items():
        if stage == "check":
            continue
        assert task.task_info.name == graph[stage].title
        # Of another DAG a task reads by channel; within its own it is named.
        channels = {
            value.component_input_artifact
            for value in task.inputs.artifacts.values()
            if value.component_input_artifact
        }
        read = {value.task_output_artifact.producer_task for value in task.inputs.artifacts.values()}
        read |= {channel.removeprefix("pipelinechannel--").rpartition("-")[0] for channel in channels}
        assert {one.replace("-", "_") for one in read if one} == set(graph[stage].after)


def test_the_order_of_the_graphs_can_be_run(name):
    ran: set[str] = set()
    for stage, its in GRAPHS[name].items():
        assert ran.issuperset(its.after), f"{stage} is listed before a stage it follows"
        ran.add(stage)


def test_ancestors():
    assert ancestors("evaluate") == {"prepare", "tokenize", "pretrain", "align", "baseline"}
    assert ancestors("prepare") == frozenset()
    assert ancestors("publish", GRAPHS["realign"]) == {"realign", "prepare", "production"}


def test_nothing_starts_before_the_check_and_nothing_is_published_before_the_gate(name, texts):
    tasks = tasks_of(parsed(texts[name])[0])
    first = {stage for stage, its in GRAPHS[name].items() if not its.after}
    assert first
    assert all("check" in tasks[stage].dependent_tasks for stage in first)
    if "gate" in tasks:
        assert "gate" in tasks["publish"].dependent_tasks


def test_the_end_is_told_however_it_ends(name, texts):
    spec, _ = parsed(texts[name])
    told = spec.root.dag.tasks["report"]
    assert told.trigger_policy.strategy == told.trigger_policy.ALL_UPSTREAM_TASKS_COMPLETED
    assert told.inputs.parameters["status"].task_final_status.producer_task == "exit-handler-1"
    named = told.inputs.parameters["stages"].runtime_value.constant.string_value.split(",")
    assert {one.replace("-", "_") for one in named} == {*GRAPHS[name], "check"}


def test_what_depends_on_the_store_is_never_taken_from_a_cache(name, texts):
    for stage, task in tasks_of(parsed(texts[name])[0]).items():
        cached = stage != "check" and GRAPHS[name][stage].cached
        assert task.caching_options.enable_cache is cached, stage
    assert {s for s, its in GRAPHS[name].items() if its.cached} <= set(STAGES)


@pytest.mark.parametrize("condition", ["inputs.parameter_values['pipelinechannel--store'] != ''"])
def test_without_a_store_training_neither_compares_nor_publishes(texts, condition):
    spec, _ = parsed(texts["training"])
    (inside,) = (
        task
        for task in spec.components["comp-exit-handler-1"].dag.tasks.values()
        if task.trigger_policy.condition
    )
    assert inside.trigger_policy.condition == condition
    assert set(spec.components[inside.component_ref.name].dag.tasks) == set(INSIDE["training"])


def test_every_parameter_is_described_and_has_the_default_of_the_check(name, texts):
    spec, _ = parsed(texts[name])
    given = spec.root.input_definitions.parameters
    assert set(given) == set(PARAMETERS[name].model_fields)
    checked = spec.components["comp-exit-handler-1"].dag.tasks["check"].inputs.parameters
    assert {*given, "pipeline"} == set(checked), "a parameter that is not checked"
    for parameter, field in PARAMETERS[name].model_fields.items():
        assert given[parameter].description == " ".join(field.description.split())
        if parameter != "config":
            value = json_format.MessageToDict(given[parameter].default_value)
            assert value == field.default, parameter


def test_nothing_of_this_machine_is_in_it(name, texts):
    for path in (Path(__file__).parents[2], Path.home(), Path.cwd()):
        assert f"{path}/" not in texts[name]
    assert "cacheKey" not in texts[name]
    assert "pip install" not in texts[name]


def test_every_task_runs_in_the_image(name, tmp_path, texts):
    executors = json_format.MessageToDict(parsed(texts[name])[0].deployment_spec)["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {IMAGE}
    assert re.fullmatch(r"higr/train:\d+\.\d+\.\d+", IMAGE)
    image = "registry.example/higr/train@sha256:" + "0" * 64
    compile_pipeline(name, load_config("nano"), tmp_path / "p.yaml", image)
    spec, _ = parsed((tmp_path / "p.yaml").read_text())
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {image}


@pytest.mark.parametrize("preset", ["demo", "kuairand", "nano"])
def test_its_default_is_the_configuration(preset, name, tmp_path):
    config = load_config(preset)
    assert parse_config(config_text(config)) == config
    compile_pipeline(name, config, tmp_path / "p.yaml")
    spec, _ = parsed((tmp_path / "p.yaml").read_text())
    default = spec.root.input_definitions.parameters["config"].default_value.string_value
    assert parse_config(default) == config


def test_a_file_kubeflow_would_not_take(tmp_path):
    with pytest.raises(InputError, match=r"\.yaml"):
        compile_pipeline("training", load_config("nano"), tmp_path / "pipeline.txt")
    assert list(tmp_path.iterdir()) == []


def golden(name: str, folder: Path) -> str:
    """With every setting of a cluster; without the sources of components and the configuration."""
    spec, kubernetes = parsed(compiled(name, folder, load_cluster(CLUSTER)))
    document = json_format.MessageToDict(spec)
    document["root"]["inputDefinitions"]["parameters"]["config"]["defaultValue"] = CONFIG
    for executor in document["deploymentSpec"]["executors"].values():
        del executor["container"]["command"], executor["container"]["args"]
    return yaml.safe_dump({"pipeline": document, "kubernetes": kubernetes}, width=110)


def test_golden(name, tmp_path):
    assert golden(name, tmp_path) == (GOLDEN / f"{name}.yaml").read_text()


def write_golden() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in GRAPHS:
            (GOLDEN / f"{name}.yaml").write_text(golden(name, Path(folder)))


if __name__ == "__main__":
    write_golden()
