"""Files of --config, the policy and rollout.yaml, as the chart writes them, are taken by their readers."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.config import ServingConfig, read_config
from serving.policy_file import read_policy
from tests.charts.rendering import CHART, FULL, Helm, pods, set_json
from tests.tools import REPOSITORY


def configs(helm: Helm, folder: Path, *arguments: str) -> dict[str, ServingConfig]:
    """What each part of serving reads."""
    texts: dict[str, str] = helm.find("ConfigMap", *arguments, name="higr-config")["data"]
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name.removesuffix(".yaml"): read_config(folder / name) for name in texts}


def test_serving_reads_what_is_written(helm: Helm, values: tuple[str, ...], tmp_path: Path) -> None:
    documents = helm.documents(*values)
    (texts,) = (
        document["data"]
        for document in documents
        if document["kind"] == "ConfigMap"
        and document["metadata"]["name"].endswith("-config")
        and "rollout" not in document["metadata"]["name"]
    )
    asked = set()
    for running in pods(documents):
        given = [a for a in running.spec["containers"][0].get("args", []) if a.startswith("--config=")]
        asked |= {Path(argument.partition("=")[2]).name for argument in given}

    assert asked == set(texts)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert read_config(tmp_path / name).bundle_roots == (Path("/mnt/models"), Path("/mnt/pvc"))


def test_each_part_is_told_what_concerns_it(helm: Helm, tmp_path: Path) -> None:
    found = configs(helm, tmp_path, *FULL, *set_json(serving__batch={"max_batch": 8}))

    for side in ("", "canary-"):
        transformer, predictor = found[f"{side}transformer"], found[f"{side}predictor"]
        assert transformer.explore.share == 0.02
        assert transformer.features.item_status_seconds == 30
        assert not transformer.features.push
        assert transformer.logs.redact == ("user_id",)
        assert predictor.batch.max_batch == 8
        assert predictor.explore.share == 0
    # Options of the server that go with a store and a feedback folder, which only these processes have.
    assert found["feedback"].features.push
    assert found["feedback"].logs.keep_days == 90


def test_files_of_secrets_are_where_they_are_mounted(helm: Helm, tmp_path: Path) -> None:
    found = configs(helm, tmp_path, *FULL)
    seen = 0
    for running in pods(helm.documents(*FULL)):
        if running.part not in found:
            continue
        config = found[running.part]
        volumes = {volume["name"]: volume for volume in running.spec["volumes"]}
        files = {
            f"{mount['mountPath']}/{item['path']}"
            for mount in running.spec["containers"][0]["volumeMounts"]
            for item in volumes[mount["name"]].get("secret", {}).get("items", [])
        }
        named = [config.auth.tokens_file, config.auth.predictor_token_file, config.logs.key_file]
        assert files == {str(path) for path in named if path}
        seen += len(files)
    assert seen == 10


def test_a_predictor_knows_its_transformer_by_two_keys_of_one_secret(helm: Helm) -> None:
    keys = {
        running.part: [item["key"] for item in volume["secret"]["items"]]
        for running in pods(helm.documents(*FULL))
        for volume in running.spec.get("volumes", [])
        if volume["name"] == "predictor-token"
    }

    assert keys == {
        "transformer": ["token"], "predictor": ["tokens"],
        "canary-transformer": ["token"], "canary-predictor": ["tokens"],
    }  # fmt: skip


def test_a_new_configuration_restarts_the_pods_it_concerns(helm: Helm) -> None:
    def marks(**given: object) -> dict[str, str]:
        found = pods(helm.documents(*set_json(**given)))
        return {p.part: p.replicas["annotations"]["checksum/config"] for p in found if p.replicas}

    before, after = marks(), marks(serving__batch={"max_batch": 8})

    assert before["transformer"] == after["transformer"]
    assert before["predictor"] != after["predictor"]


def test_the_policy_is_one(helm: Helm, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(helm.find("ConfigMap", *FULL, name="higr-policy")["data"]["policy.yaml"])
    policy = read_policy(path)

    assert [rule.name for rule in policy.rules] == ["recalled", "adults-only", "variety", "autumn"]
    assert policy.expires is not None
    assert "higr-policy" not in {d["metadata"]["name"] for d in helm.documents()}


def test_a_policy_of_ones_own_is_mounted_in_its_place(helm: Helm) -> None:
    documents = helm.documents(*set_json(policy__configMap="house-rules"))
    mounted = [
        volume["configMap"]["name"]
        for running in pods(documents)
        for volume in running.spec.get("volumes", [])
        if volume["name"] == "policy"
    ]

    assert mounted == ["house-rules", "house-rules"]
    assert "higr-policy" not in {document["metadata"]["name"] for document in documents}


def test_the_rollout_reads_what_is_written(helm: Helm, tmp_path: Path) -> None:
    rollout = pytest.importorskip("serving.rollout.config")
    path = tmp_path / "rollout.yaml"
    path.write_text(helm.find("ConfigMap", *FULL, name="higr-rollout-config")["data"]["rollout.yaml"])
    config = rollout.read_rollout(path)

    assert (config.name, config.namespace, config.store) == ("higr", "models", "s3://models/higr")
    assert [step.weight for step in config.steps] == [5, 25, 50]
    assert config.outcomes.settle_seconds == 900


def test_a_measure_is_switched_off_by_null(each_helm: Helm, tmp_path: Path) -> None:
    rollout = pytest.importorskip("serving.rollout.config")
    (tmp_path / "off.yaml").write_text(
        "outcomes: {enabled: false}\nrollout: {config: {outcomes: null, fallback: null}}\n"
    )
    arguments = (*FULL, "--values", str(tmp_path / "off.yaml"))
    path = tmp_path / "rollout.yaml"
    path.write_text(
        each_helm.find("ConfigMap", *arguments, name="higr-rollout-config")["data"]["rollout.yaml"]
    )
    config = rollout.read_rollout(path)

    assert (config.outcomes, config.fallback) == (None, None)
    assert config.errors is not None


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("chart_schema", REPOSITORY / "scripts" / "chart_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_schema_says_of_files_what_their_readers_say() -> None:
    pytest.importorskip("serving.rollout.config")
    text = (CHART / "values.schema.json").read_text()

    assert _script().written(text) == text, "run: python scripts/chart_schema.py"


def test_the_schema_leaves_secrets_and_the_charts_own_fields_out() -> None:
    definitions = json.loads((CHART / "values.schema.json").read_text())["definitions"]
    serving = definitions["servingFile"]["properties"]

    assert set(serving) == set(ServingConfig.model_fields) - {"auth", "bundle_roots"}
    assert "key_file" not in serving["logs"]["properties"]
    assert "push" not in serving["features"]["properties"]
    assert not {"name", "namespace", "store"} & set(definitions["rolloutFile"]["properties"])


def test_the_bundle_map_says_what_serves(helm: Helm) -> None:
    data = helm.find("ConfigMap", *FULL, name="higr-bundle")["data"]
    given = [yaml.safe_load((CHART / "values-prod-cpu.yaml").read_text())["bundle"]["storageUri"]]

    assert [data["stable"], data["values"]] == given * 2
    assert data["canary"] == data["canaryValues"] == "s3://models/higr/versions/0123456789ab"
