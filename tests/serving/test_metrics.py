from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from higr import metrics as names
from higr.decode.batcher import BatcherStats
from serving.metrics import DECODING, SERVING, Metrics

STATS = BatcherStats(
    accepted=10,
    answered=4,
    failed=0,
    cancelled=0,
    refused={"queue_full": 4, "no_time": 3},
    shed={"no_time": 3, "late": 1},
    batches=3,
    rows=8,
    in_flight=2,
    waiting=1,
    slate_seconds=0.01,
)


def test_names_kinds_and_labels_are_those_of_the_contract() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.show_bundle("v")
    metrics.show_switch(lambda: "higr")
    metrics.show_breaker(lambda: "open")
    metrics.show_decoding(lambda: STATS)
    families = {f.name: f for f in text_string_to_metric_families(generate_latest(registry).decode())}
    assert {(f.name, f.type) for f in families.values()} == {(m.name, m.kind) for m in (*SERVING, *DECODING)}
    assert {s.labels["position"]: s.value for s in families["higr_switch_position"].samples} == {
        "auto": 0,
        "higr": 1,
        "baseline": 0,
    }
    assert [s.labels["state"] for s in families["higr_breaker_state"].samples if s.value] == ["open"]


def test_what_the_batcher_gave_up_is_counted_by_reason_on_arrival_or_later() -> None:
    registry = CollectorRegistry()
    Metrics(registry).show_decoding(lambda: STATS)
    found = {
        (name, *labels.values()): value
        for family in registry.collect()
        for name, labels, value, *_ in family.samples
        if name.startswith(("higr_batch", "higr_decoder", "higr_not"))
    }
    assert found == {
        ("higr_batches_total",): 3,
        ("higr_batched_requests_total",): 8,
        ("higr_decoder_in_flight",): 2,
        ("higr_decoder_waiting",): 1,
        ("higr_not_decoded_requests_total", "no_time"): 6,
        ("higr_not_decoded_requests_total", "queue_full"): 4,
        ("higr_not_decoded_requests_total", "late"): 1,
    }


def test_another_bundle_takes_the_place_of_the_one_before() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number, version in enumerate(("a", "b"), 1):
        metrics.show_bundle(version)
        metrics.show_decoding(lambda batches=number: replace(STATS, batches=batches))
    assert registry.get_sample_value("higr_bundle_info", {"version": "a"}) == 0
    assert registry.get_sample_value("higr_bundle_info", {"version": "b"}) == 1
    assert registry.get_sample_value("higr_batches_total") == 2


def test_a_wrong_label_count_is_an_error_not_a_new_series() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics(CollectorRegistry()).count(names.SLATES, "higr")


def test_serving_has_every_metric_that_is_not_of_jobs() -> None:
    of_jobs = ("higr_drift", "higr_job", "higr_outcome", "higr_rollout")
    served = {m for m in names.METRICS if not m.name.startswith(of_jobs)}
    assert {*SERVING, *DECODING} == served
