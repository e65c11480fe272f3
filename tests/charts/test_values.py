"""A misspelt or wrong value is refused with its name, by both Helms; every value is described."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, FULL, KINDS, Helm, set_json
from tests.tools import REPOSITORY

REFUSED: list[tuple[str, str]] = [
    # what is given, what the message must name
    ("replica=3", "replica"),
    ("transformer.replica.min=3", "replica"),
    ("transformer.replicas.minimum=3", "minimum"),
    ('transformer.replicas.min="3"', "min"),
    ("transformer.replicas.min=0", "min"),
    (
        "transformer.replicas.min=9",
        "transformer.replicas.max is 4, less than transformer.replicas.min, which is 9",
    ),
    ("predictor.replicas.max=0", "max"),
    ('deploymentMode="RawDeployment"', "deploymentMode"),
    ('deploymentMode="standard"', "deploymentMode"),
    ('switch.mode="off"', "mode"),
    ("switch.mode=true", "mode"),
    ('bundle.storageUri=""', "storageUri"),
    ('bundle.storageUri="/mnt/bundle"', "storageUri"),
    ('bundle.storageUri="ftp://host/bundle"', "storageUri"),
    ("bundle.storageUri=null", "storageUri"),
    ('image.tag="a tag"', "tag"),
    ('image.digest="sha256:12"', "digest"),
    ('image.pullPolicy="Sometimes"', "pullPolicy"),
    ('image.repositry="x"', "repositry"),
    ('predictor.image.repositry="x"', "repositry"),
    ("deadline.milliseconds=0.3", "milliseconds"),
    ('deadline.milliseconds="300ms"', "milliseconds"),
    ("deadline.seconds=1", "seconds"),
    ('features.claim="Not_A_Name"', "claim"),
    ('features.path="../other"', "path"),
    ('predictor.resources.limits={"cpu": "two"}', "cpu"),
    ('predictor.resources.limit={"cpu": 2}', "limit"),
    ('predictor.env=[{"name": "A"}]', "env"),
    ('predictor.env=[{"name": "A", "value": "b", "secretName": "s", "secretKey": "k"}]', "env"),
    ('predictor.env=[{"name": "STORAGE_URI", "value": "s3://other/bundle"}]', "name"),
    ('predictor.tolerations=[{"operator": "Exist"}]', "operator"),
    ('transformer.nodeSelector={"disk": 1}', "disk"),
    ("headlessServices=1", "headlessServices"),
    ("monitoring.enabled=1", "enabled"),
    ("monitoring.enable=true", "enable"),
    (
        "monitoring.timeoutSeconds=15",
        "monitoring.timeoutSeconds is 15, not less than monitoring.intervalSeconds",
    ),
    ("probes.periodSeconds=0", "periodSeconds"),
    ("shutdown.preStopSeconds=-1", "preStopSeconds"),
    ("shutdown.graceSeconds=10", "graceSeconds"),
    ('scratch.size="lots"', "size"),
    ('fullnameOverride="Slates"', "fullnameOverride"),
    ("serviceAccount.annotations=[]", "annotations"),
    # configuration files, by the models that read them
    ("serving.crowds=3", "crowds"),
    ("serving.crowd=0", "crowd"),
    ("serving.explore.share=2", "share"),
    ('serving.auth={"tokens_file": "/etc/x"}', "auth"),
    ('serving.logs.key_file="/etc/x"', "key_file"),
    ("serving.features.push=true", "push"),
    ('policy.rules=[{"name": "a", "kind": "blocks"}]', "rules"),
    ('policy.rules=[{"name": "a", "kind": "at_most", "items": 0, "per": "category"}]', "items"),
    ('policy.expires="tomorrow"', "expires"),
    ("rollout.config.step=1", "step"),
    ('rollout.config.steps=[{"weight": 100}]', "weight"),
    ("rollout.config.alpha=0.9", "alpha"),
    # misspelt and mistyped, section by section
    ('auth.clients.secret="a"', "secret"),
    ("feedback.enable=true", "enable"),
    ('features.materialise.schedule="daily"', "schedule"),
    ("features.materialise.periodSeconds=1", "periodSeconds"),
    ('redis.url="redis://:secret@host"', "url"),
    ('redis.image="Redis"', "image"),
    ('rollout.store="s3://key@bucket"', "store"),
    ('pushgateway.address="host"', "address"),
    ('autoscaling.kind="memory"', "kind"),
    ('spread.whenUnsatisfiable="Never"', "whenUnsatisfiable"),
    ('canary.storageUri="models/2"', "storageUri"),
    ("canary.weight=101", "weight"),
    ('canary.weight="10"', "weight"),
    ('route.hostnames=["https://slates.example.org"]', "hostnames"),
    ('route.gateways=[{"gateway": "public"}]', "gateway"),
    ('networkPolicy.peers.storage={"selectors": [{"podSelectors": {}}], "ports": [443]}', "podSelectors"),
    ('networkPolicy.peers.storage={"selectors": [{}], "ports": [443]}', "selectors"),
    ('networkPolicy.peers.storages={"selectors": [], "ports": []}', "storages"),
    ("drift.hours=25", "hours"),
    ("drift.movesSwitch=1", "movesSwitch"),
    ("monitoring.rules.enable=true", "enable"),
    ('monitoring.rules.runbooks="wiki"', "runbooks"),
    ('tools.env=[{"name": "A"}]', "env"),
    ("bundle.pin=1", "pin"),
    ("baselineOnly=1", "baselineOnly"),
]

# What a schema cannot see: one value that needs another.
UNFIT: list[tuple[dict[str, object], str]] = [
    ({"canary__enabled": True, "canary__storageUri": "s3://m/2"}, "canary.enabled needs route.enabled"),
    ({"canary__enabled": True, "route__enabled": True}, "canary.enabled needs canary.storageUri"),
    (
        {"canary__enabled": True, "deploymentMode": "Knative"},
        "canary.enabled needs deploymentMode Standard: the route weighs Services",
    ),
    ({"route__enabled": True, "deploymentMode": "Knative"}, "route.enabled needs deploymentMode Standard"),
    ({"networkPolicy__enabled": True, "deploymentMode": "Knative"}, "networkPolicy.enabled needs"),
    (
        {"autoscaling__kind": "keda", "autoscaling__prometheus": "http://p", "deploymentMode": "Knative"},
        "autoscaling.kind keda needs deploymentMode Standard",
    ),
    ({"autoscaling__kind": "keda"}, "autoscaling.kind keda needs autoscaling.prometheus"),
    ({"rollout__enabled": True}, "rollout.enabled needs canary.enabled"),
    (
        {
            "rollout__enabled": True,
            "canary__enabled": True,
            "canary__storageUri": "s3://m/2",
            "route__enabled": True,
        },
        "rollout.enabled needs monitoring.enabled",
    ),
    (
        {
            "rollout__enabled": True,
            "monitoring__enabled": True,
            "canary__enabled": True,
            "canary__storageUri": "s3://m/2",
            "route__enabled": True,
        },
        "rollout.enabled needs outcomes.enabled",
    ),
    (
        {
            "rollout": {"enabled": True, "store": "", "config": {"outcomes": {"settle_seconds": 600}}},
            "outcomes__enabled": True,
            "predictionLog__claim": "p",
            "feedback__enabled": True,
            "feedback__claim": "f",
            "monitoring__enabled": True,
            "canary__enabled": True,
            "canary__storageUri": "s3://m/2",
            "route__enabled": True,
        },
        "outcomes.settleSeconds is 900 and rollout.config.outcomes.settle_seconds is 600",
    ),
    ({"baselineOnly": True, "switch__mode": "higr"}, "baselineOnly has no model to ask: switch.mode is higr"),
    (
        {"baselineOnly": True, "canary__enabled": True, "canary__storageUri": "s3://m/2"},
        "baselineOnly has no model to try",
    ),
    ({"canary__replicas": {"min": 3, "max": 2}}, "canary.replicas.max is 2"),
    ({"feedback__enabled": True}, "feedback.enabled needs feedback.claim"),
    ({"feedback__push": True}, "feedback.push needs feedback.enabled"),
    (
        {"feedback__push": True, "feedback__enabled": True, "feedback__claim": "l", "features__claim": "f"},
        "feedback.push needs redis.enabled or redis.url",
    ),
    ({"features__materialise__enabled": True}, "features.materialise.enabled needs features.claim"),
    (
        {"features__materialise__enabled": True, "features__claim": "f"},
        "features.materialise.enabled needs features.path",
    ),
    (
        {"features__materialise__enabled": True, "features__claim": "f", "features__path": "s"},
        "features.materialise.enabled needs features.data.claim",
    ),
    ({"features__push__enabled": True}, "features.push.enabled needs features.materialise.enabled"),
    ({"redis__enabled": True}, "redis.enabled needs redis.passwordSecret.name"),
    (
        {"redis__enabled": True, "redis__url": "redis://host", "redis__passwordSecret__name": "r"},
        "redis.enabled and redis.url exclude each other",
    ),
    ({"drift__enabled": True}, "drift.enabled needs predictionLog.claim"),
    ({"drift__enabled": True, "predictionLog__claim": "p"}, "drift.enabled needs feedback.enabled"),
    ({"drift__enabled": True, "baselineOnly": True}, "drift.enabled compares what a model serves"),
    ({"outcomes__enabled": True}, "outcomes.enabled needs predictionLog.claim and feedback.enabled"),
    ({"monitoring__rules__enabled": True}, "monitoring.rules.enabled needs monitoring.enabled"),
    ({"serving__features__item_status_seconds": 30}, "needs features.claim: there is no store to ask"),
    ({"predictionLog__keySecret__name": "k"}, "predictionLog.keySecret is for user_id"),
    (
        {"pushgateway__enabled": True, "pushgateway__address": "host:9091"},
        "pushgateway.enabled and pushgateway.address exclude each other",
    ),
]


@pytest.mark.parametrize(("given", "named"), REFUSED, ids=[given for given, _ in REFUSED])
def test_refused(helm: Helm, given: str, named: str) -> None:
    finished = helm.template("--set-json", given)

    assert finished.returncode != 0, f"accepted {given}"
    assert named in finished.stderr
    assert finished.stdout == ""


@pytest.mark.parametrize(("given", "said"), UNFIT, ids=[said for _, said in UNFIT])
def test_one_value_that_needs_another(helm: Helm, given: dict[str, object], said: str) -> None:
    finished = helm.template(*set_json(**given))

    assert finished.returncode != 0, f"accepted {given}"
    assert said in finished.stderr
    assert finished.stdout == ""


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("serving.kserve.io/v1beta1/InferenceService", (), "which this chart needs: install KServe 0.18"),
        (
            "serving.knative.dev/v1/Service",
            set_json(deploymentMode="Knative"),
            "which deploymentMode Knative needs: install Knative Serving",
        ),
        ("serving.kserve.io/v1alpha1/ServingRuntime", FULL, "which servingRuntime.enabled needs"),
        (
            "gateway.networking.k8s.io/v1/HTTPRoute",
            FULL,
            "which route.enabled needs: install the Gateway API",
        ),
        ("keda.sh/v1alpha1/ScaledObject", FULL, "which autoscaling.kind keda needs: install KEDA"),
        ("monitoring.coreos.com/v1/ServiceMonitor", FULL, "which monitoring.enabled needs"),
        ("monitoring.coreos.com/v1/PrometheusRule", FULL, "which monitoring.rules.enabled needs"),
        ("monitoring.coreos.com/v1alpha1/AlertmanagerConfig", FULL, "monitoring.alertmanager.enabled needs"),
    ],
)
def test_a_kind_that_the_cluster_lacks_is_named(
    helm: Helm, kind: str, arguments: tuple[str, ...], said: str
) -> None:
    finished = helm.template(*arguments, kinds=tuple(known for known in KINDS if known != kind))

    assert finished.returncode != 0
    assert f"the cluster has no {kind}, which" in finished.stderr
    assert said in finished.stderr
    assert helm.template(*arguments).returncode == 0


@pytest.mark.parametrize("given", ["replica=3", 'switch.mode="off"', "transformer.replicas.min=9"])
def test_both_helms_refuse(each_helm: Helm, given: str) -> None:
    assert each_helm.template("--set-json", given).returncode != 0


def test_a_parent_chart_may_set_global_values(helm: Helm) -> None:
    assert helm.template("--set-json", 'global={"region": "eu"}').returncode == 0


def _objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a JSON schema, with where it is."""
    if schema.get("type") == "object" and path != "/properties/global":
        yield path, schema
    for key, value in schema.items():
        for number, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part, dict):
                yield from _objects(part, f"{path}/{key}{f'/{number}' if isinstance(value, list) else ''}")


def test_no_object_of_the_schema_takes_unknown_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    open_objects = [
        path for path, found in _objects(schema) if found.get("additionalProperties", True) is True
    ]

    assert open_objects == []


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert set(schema["properties"]) - {"global"} == set(values)
    for section, found in values.items():
        properties = schema["properties"][section].get("properties")
        if properties is not None:
            assert set(properties) == set(found), section


# Small maps that are one value to a reader.
WHOLE: tuple[set[str], ...] = (
    {"requests", "limits"}, {"selectors", "ports"}, {"name", "key"}, {"name", "tokenKey", "hashKey"},
    {"min", "max"}, {"claim", "path"}, {"grafana_dashboard"}, {"repository"},
)  # fmt: skip


def _leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their dotted names; sections are none."""
    for key, value in values.items():
        if isinstance(value, dict) and value and set(value) not in WHOLE:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def test_the_page_has_every_value_and_its_default() -> None:
    page = (REPOSITORY / "docs" / "chart-values.md").read_text()
    values = dict(_leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    rows = re.findall(r"^\| `([^`]+)` \| (?:`([^`]*)` )?\| ", page, flags=re.MULTILINE)

    assert {name: yaml.safe_load(default) if default else "" for name, default in rows} == values
