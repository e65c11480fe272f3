"""The rollout pipeline: compiled, and run by KFP's local runner against an emulated cluster."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import local
from kfp.pipeline_spec import pipeline_spec_pb2
from typer.testing import CliRunner

from components.rollout import TOOLS
from higr.errors import InputError
from pipelines.__main__ import app
from pipelines.cluster import Cluster, load_cluster
from pipelines.rollout import compile_rollout, rollout_pipeline
from tests.serving.rollout.objects import Cluster as Objects
from tests.serving.rollout.objects import emulated, write_config
from tests.tools import REPOSITORY


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    with emulated(tmp_path) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
        cluster.install("s3://models/versions/old", "s3://models/versions/old")
        yield cluster


def test_compiled_it_is_a_pipeline_that_never_comes_from_the_cache(tmp_path: Path) -> None:
    config = write_config(tmp_path / "rollout.yaml", alpha=0.01)
    out = tmp_path / "pipeline.yaml"
    settings = tmp_path / "cluster.yaml"
    secret = {"AWS_ACCESS_KEY_ID": {"name": "higr-store", "key": "access-key"}}
    settings.write_text(yaml.safe_dump({"stages": {"rollout": {"retries": 3, "secrets": secret}}}))
    given = ["--config", str(config), "--out", str(out), "--cluster", str(settings)]
    answer = CliRunner().invoke(app, ["compile-rollout", *given])
    assert answer.exit_code == 0, answer.output
    document, kubernetes = yaml.safe_load_all(out.read_text())
    (key,) = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-rollout"][
        "secretAsEnv"
    ]
    assert (key["secretName"], key["keyToEnv"][0]["envVar"]) == ("higr-store", "AWS_ACCESS_KEY_ID")
    spec = json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    tasks = spec.root.dag.tasks
    assert {name: list(task.dependent_tasks) for name, task in tasks.items()} == {
        "rollout": [],
        "promoted": ["rollout"],
    }
    assert not any(task.caching_options.enable_cache for task in tasks.values())
    assert tasks["rollout"].retry_policy.max_retry_count == 3
    parameters = spec.root.input_definitions.parameters
    assert json.loads(parameters["rollout_yaml"].default_value.string_value)["alpha"] == 0.01
    executors = document["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {TOOLS}
    again = tmp_path / "again.yaml"
    compile_rollout(config, again, TOOLS, load_cluster(settings))
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("text", "out", "message"),
    [
        (None, "p.yaml", "cannot be read"),
        ("a: [", "p.yaml", "not YAML"),
        ("- a", "p.yaml", "not a YAML mapping"),
        ("name: higr", "p.json", "Kubeflow takes .yaml"),
    ],
)
def test_what_cannot_be_compiled_is_told(tmp_path: Path, text: str | None, out: str, message: str) -> None:
    config = tmp_path / "rollout.yaml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(InputError, match=message):
        compile_rollout(config, tmp_path / out, TOOLS, Cluster())
    assert not (tmp_path / out).exists()


@pytest.mark.slow
def test_run_here_it_offers_the_bundle_and_ends_red_when_it_is_not_promoted(
    cluster: Objects, tmp_path: Path
) -> None:
    """A person has ordered the rollback, so that no Prometheus is asked."""
    cluster.record(command="roll-back", ordered_by="Ana", reason="not today")
    config = write_config(tmp_path / "rollout.yaml", look_seconds=0.1, outcomes=None)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "artifacts"))
    with pytest.raises(RuntimeError, match="promoted"):
        rollout_pipeline()(candidate="s3://models/versions/new", rollout_yaml=config.read_text())
    assert cluster.data("bundle")["canary"] == "s3://models/versions/new"
    assert cluster.uris("higr-canary") == {"s3://models/versions/new"}
    assert cluster.uris("higr") == {"s3://models/versions/old"}
    assert (cluster.data()["phase"], cluster.data()["by"]) == ("rolled-back", "Ana")
    (looks,) = (tmp_path / "artifacts").rglob("looks")
    lines = [json.loads(line) for line in looks.read_text().splitlines()]
    assert lines[-1]["phase"] == "rolled-back"
