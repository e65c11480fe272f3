import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from higr import metrics as names
from serving.metrics import SERVING, Metrics


def test_names_kinds_and_labels_are_those_of_the_contract() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.show_bundle("v")
    metrics.show_switch(lambda: "higr")
    families = {f.name: f for f in text_string_to_metric_families(generate_latest(registry).decode())}
    assert {(f.name, f.type) for f in families.values()} == {(m.name, m.kind) for m in SERVING}
    assert {s.labels["position"]: s.value for s in families["higr_switch_position"].samples} == {
        "auto": 0,
        "higr": 1,
        "baseline": 0,
    }


def test_serving_has_every_metric_that_is_not_the_drift_jobs() -> None:
    assert set(SERVING) == {m for m in names.METRICS if not m.name.startswith("higr_drift")}


def test_a_wrong_label_count_is_an_error_not_a_new_series() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics(CollectorRegistry()).count(names.SLATES, "higr")
