"""A misspelt or wrong value is refused with its name, by both Helms; every value is described."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, Helm
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
]


@pytest.mark.parametrize(("given", "named"), REFUSED, ids=[given for given, _ in REFUSED])
def test_refused(helm: Helm, given: str, named: str) -> None:
    finished = helm.template("--set-json", given)

    assert finished.returncode != 0, f"accepted {given}"
    assert named in finished.stderr
    assert finished.stdout == ""


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
        if isinstance(value, dict):
            yield from _objects(value, f"{path}/{key}")


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


def test_the_page_names_every_value() -> None:
    page = (REPOSITORY / "docs" / "chart.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = set(re.findall(r"^\| `([^`]+)`", page, flags=re.MULTILINE))

    assert named == set(values)
