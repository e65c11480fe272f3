"""What Prometheus, Alertmanager, Grafana and KEDA get, in the release's namespace."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from higr import metrics as names
from higr.decode.batcher import BatcherStats
from monitoring.alerting.files import documents as rule_documents
from monitoring.alerting.settings import read_settings
from monitoring.grafana.files import documents as dashboard_documents
from serving.metrics import Metrics
from tests.charts.rendering import CHART, FULL, Document, Helm, pods, set_json
from tests.monitoring.alerting import promql
from tests.tools import REPOSITORY

FILES = CHART / "files"
EXAMPLE = yaml.safe_load((REPOSITORY / "monitoring" / "examples" / "alertmanager.yaml").read_text())


@pytest.mark.parametrize(("folder", "made"), [("rules", rule_documents), ("dashboards", dashboard_documents)])
def test_copies_are_what_monitoring_writes(folder: str, made: Any) -> None:
    kept = {path.name: path.read_text() for path in (FILES / folder).iterdir()}

    assert kept == made(read_settings(FILES / "settings.yaml")), (
        f"run: python -m monitoring {folder} --config charts/higr/files/settings.yaml "
        f"--out charts/higr/files/{folder}"
    )


def test_every_alert_that_is_committed_is_in_the_copies() -> None:
    def alerts(folder: Path) -> list[str]:
        groups = [
            g for path in sorted(folder.glob("*.yaml")) for g in yaml.safe_load(path.read_text())["groups"]
        ]
        return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]

    assert alerts(FILES / "rules") == alerts(REPOSITORY / "monitoring" / "rules")


def rules(helm: Helm, *arguments: str) -> list[dict[str, Any]]:
    return [
        rule
        for document in helm.documents(*arguments)
        if document["kind"] == "PrometheusRule"
        for group in document["spec"]["groups"]
        for rule in group["rules"]
    ]


def test_rules_are_of_this_namespace_and_link_where_the_values_say(helm: Helm) -> None:
    found = rules(helm, *FULL)

    assert len([rule for rule in found if "alert" in rule]) > 40
    for rule in found:
        assert "release-namespace" not in str(rule)
        assert rule.get("labels", {}).get("namespace", "models") == "models"
        if "alert" in rule:
            assert rule["annotations"]["runbook_url"].startswith("https://wiki.example.org/higr/runbooks/")
            assert 'namespace="models"' in rule["expr"] or rule["alert"] == "HigrWatchdog"


def test_dashboards_are_found_by_grafanas_sidecar_and_whole(helm: Helm) -> None:
    found = [
        document
        for document in helm.documents(*FULL)
        if document["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]

    assert len(found) == len(list((FILES / "dashboards").iterdir()))
    for document in found:
        ((name, text),) = document["data"].items()
        original = (FILES / "dashboards" / name).read_text().replace("release-namespace", "models")
        assert json.loads(text) == json.loads(original)


def matched(matcher: str) -> tuple[str, str, str]:
    """As Alertmanager writes it, to name, operator and value."""
    name, _, rest = matcher.partition("=")
    operator = "=~" if rest.startswith("~") else "="
    return name.strip(), operator, rest.removeprefix("~").strip().strip('"')


def test_alerts_are_held_back_as_in_the_example(helm: Helm) -> None:
    spec = helm.find("AlertmanagerConfig", *FULL)["spec"]

    def operators(matchers: list[dict[str, str]]) -> list[tuple[str, str, str]]:
        return [(m["name"], m["matchType"], m["value"]) for m in matchers]

    ours = [
        (operators(r["sourceMatch"]), operators(r["targetMatch"]), r["equal"]) for r in spec["inhibitRules"]
    ]
    theirs = [
        ([matched(m) for m in r["source_matchers"]], [matched(m) for m in r["target_matchers"]], r["equal"])
        for r in EXAMPLE["inhibit_rules"]
    ]
    assert ours == theirs


def test_who_is_told(helm: Helm) -> None:
    spec = helm.find("AlertmanagerConfig", *FULL)["spec"]
    routes = {route["receiver"]: route["matchers"] for route in spec["route"]["routes"]}

    assert spec["route"]["receiver"] == "daylight"
    assert routes["pager"] == [{"name": "severity", "value": "page", "matchType": "="}]
    assert routes["dead-man"] == [{"name": "alertname", "value": "HigrWatchdog", "matchType": "="}]
    keys = {r["name"]: r["webhookConfigs"][0]["urlSecret"] for r in spec["receivers"]}
    assert keys == {name: {"name": "higr-alerts", "key": name} for name in ("pager", "daylight", "dead-man")}


def test_everything_that_has_metrics_is_scraped(helm: Helm) -> None:
    documents = helm.documents(*FULL)
    monitors = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "ServiceMonitor"}
    serving, jobs = monitors["higr"]["selector"], monitors["higr-jobs"]["selector"]
    services = {d["metadata"]["name"] for d in documents if d["kind"] == "InferenceService"}
    exporters = {
        running.part
        for running in pods(documents)
        for port in running.spec["containers"][0].get("ports", [])
        if port["name"] == "metrics"
    }

    assert set(serving["matchExpressions"][0]["values"]) == services
    assert (
        set(jobs["matchExpressions"][0]["values"])
        == exporters
        == {"drift-exporter", "outcomes", "pushgateway"}
    )
    reached = {
        d["metadata"]["labels"]["app.kubernetes.io/component"]
        for d in documents
        if d["kind"] == "Service" and d["spec"]["ports"][0]["name"] == "metrics"
    }
    assert reached == exporters
    assert monitors["higr-jobs"]["endpoints"][0]["honorLabels"] is True


def scalers(service: Document) -> dict[str, dict[str, Any]]:
    found = {}
    for role, component in service["spec"].items():
        (metric,) = component["autoScaling"]["metrics"]
        found[role] = metric["external"]
    return found


def test_keda_goes_by_series_that_there_are(helm: Helm) -> None:
    for name in ("higr", "higr-canary"):
        service = helm.find("InferenceService", *FULL, name=name)
        assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "keda"
        found = scalers(service)
        # Prometheus names the Service that KServe makes of a component.
        known = {series: labels | {"service"} for series, labels in promql.KNOWN.items()}
        for role, external in found.items():
            promql.check(external["metric"]["query"], known)
            assert f'namespace="models", service="{name}-{role}"' in external["metric"]["query"]
            # KServe reads `value` alone, and leaves KEDA at AverageValue: the sum by what one pod is to have.
            assert external["target"]["type"] == "Value"
        assert "higr_decoder_in_flight" in found["predictor"]["metric"]["query"]
        assert found["predictor"]["target"]["value"] == "12"


def test_the_series_of_keda_are_ones_that_serving_shows() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.count(names.SLATES, "higr", "")
    metrics.show_decoding(lambda: BatcherStats(4, 1, 0, 0, {}, {}, 1, 1, 3, 2, 0.01))
    shown = generate_latest(registry).decode()

    assert "\nhigr_slates_total{" in shown
    assert "\nhigr_decoder_in_flight 3.0\n" in shown


def test_cpu_is_the_default(helm: Helm) -> None:
    service = helm.find("InferenceService")

    assert all(component["scaleMetric"] == "cpu" for component in service["spec"].values())
    assert all(component["scaleTarget"] == 70 for component in service["spec"].values())
    assert "serving.kserve.io/autoscalerClass" not in service["metadata"]["annotations"]
    knative = helm.find("InferenceService", *set_json(deploymentMode="Knative"))
    assert all("scaleMetric" not in component for component in knative["spec"].values())
