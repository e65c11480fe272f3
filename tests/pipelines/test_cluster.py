"""What tasks ask of a cluster: read strictly, written into the right tasks."""

import pytest
import yaml
from google.protobuf import json_format
from typer.testing import CliRunner

from higr.config import load_config
from higr.errors import InputError
from pipelines.__main__ import app
from pipelines.cluster import MAY_FLAKE, Cluster, load_cluster
from pipelines.compiled import compile_pipeline
from tests.pipelines.test_compiled import CLUSTER, parsed, tasks_of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {prepar: {}}", "no stage 'prepar'; there are align, baseline"),
        ("default: {cpus: 1}", "default.cpus: Extra inputs are not permitted"),
        ("default: {cpu: many}", "default.cpu: String should match pattern"),
        ("default: {memory: 4GB}", "default.memory: String should match pattern"),
        (
            "stages: {align: {gpus: 17}}",
            "stages.align.gpus: Input should be less than or equal to 16 (got 17)",
        ),
        ("stages: {align: {retries: -1}}", "stages.align.retries"),
        ("stages: {align: {secrets: {KEY: plain-text}}}", "stages.align.secrets.KEY"),
        ("trainjob: {nodes: 2}", "trainjob.claim: Field required"),
        ("trainjob: {claim: c, nodes: 0}", "trainjob.nodes"),
        ("trainjob: {claim: c, mount: relative}", "trainjob.mount"),
        ("default: [", "not YAML"),
        ("- 1", "valid dictionary"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text, message, tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_cluster(path)
    assert str(error.value).startswith(f"--cluster {path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_cluster(tmp_path / "none.yaml")


def test_a_stage_has_the_defaults_but_for_what_it_names():
    cluster = Cluster.model_validate(
        {"default": {"cpu": "2", "memory": "8Gi"}, "stages": {"align": {"gpus": 1}, "gate": {"cpu": "3"}}}
    )
    align, gate, bundle = cluster.of("align"), cluster.of("gate"), cluster.of("bundle")
    assert (align.cpu, align.memory, align.gpus, align.retries) == ("2", "8Gi", 1, 0)
    assert (gate.cpu, gate.retries) == ("3", 2)
    assert (bundle.gpus, bundle.retries) == (0, 0)
    assert all(cluster.of(stage).retries == 2 for stage in MAY_FLAKE)
    assert Cluster.model_validate({"default": {"retries": 0}}).of("gate").retries == 0


def test_what_it_prints_is_what_it_reads(tmp_path):
    printed = CliRunner().invoke(app, ["cluster"])
    assert printed.exit_code == 0, printed.output
    path = tmp_path / "cluster.yaml"
    path.write_text(printed.stdout)
    again = load_cluster(path)
    assert all(again.of(stage) == Cluster().of(stage) for stage in yaml.safe_load(printed.stdout)["stages"])


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    out = tmp_path_factory.mktemp("compiled") / "p.yaml"
    config = load_config("nano", {"training.parallel": "ddp", "training.shards": 4})
    compile_pipeline("training", config, out, cluster=load_cluster(CLUSTER))
    return parsed(out.read_text())


def test_settings_reach_their_stage_and_no_other(training):
    spec, kubernetes = training
    selected = {name for name, one in kubernetes.items() if "nodeSelector" in one}
    assert selected == {"exec-align"}
    assert kubernetes["exec-align"]["activeDeadlineSeconds"] == "86400"
    mounted = {
        name: [m["mountPath"] for m in one["pvcMount"]]
        for name, one in kubernetes.items()
        if "pvcMount" in one
    }
    assert mounted == {"exec-prepare": ["/logs"], "exec-pretrain-job": ["/shared"]}
    retries = {
        name: task.retry_policy.max_retry_count
        for name, task in tasks_of(spec).items()
        if task.retry_policy.max_retry_count
    }
    assert retries == {"materialise": 2, "gate": 2, "publish": 3}


def test_variables_reach_their_stage(training):
    executors = json_format.MessageToDict(training[0].deployment_spec)["executors"]
    have = {name: one["container"]["env"] for name, one in executors.items() if "env" in one["container"]}
    assert have == {"exec-prepare": [{"name": "SPARK_REMOTE", "value": "sc://spark-connect:15002"}]}


def test_keys_of_the_store_are_references_and_only_where_it_is_used(training):
    _, kubernetes = training
    have = {
        name: {pair["envVar"] for secret in one["secretAsEnv"] for pair in secret["keyToEnv"]}
        for name, one in kubernetes.items()
        if "secretAsEnv" in one
    }
    store = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert have == {
        "exec-check": store,
        "exec-gate": store,
        "exec-publish": store,
        "exec-report": {"HIGR_WEBHOOK"},
    }


def test_a_training_that_the_nodes_cannot_share_is_refused_when_it_is_compiled(tmp_path):
    with pytest.raises(InputError, match=r"training\.parallel is none"):
        compile_pipeline("training", load_config("nano"), tmp_path / "p.yaml", cluster=load_cluster(CLUSTER))
    assert list(tmp_path.iterdir()) == []
