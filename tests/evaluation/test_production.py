"""The gate: two bundles on the same slates, and what counts as worse."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from higr.bundle import Bundle, realigned_bundle
from higr.catalog_update import Changes, update_bundle
from higr.config import GateConfig, RunConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.evaluation.bootstrap import Interval
from higr.evaluation.compare import Difference
from higr.evaluation.measured import Measured
from higr.evaluation.production import CANDIDATE, PRODUCTION, Beside, compare_bundles, judge
from higr.evaluation.production_page import html


def beside(candidate: float, production: float, low: float = -1.0, metric: str = "ndcg@5") -> Beside:
    difference = Difference(
        mean=candidate - production, low=low, high=1.0, slates=9, p_value=0.5, p_adjusted=0.5, ratio=None
    )
    values = {
        side: {metric: Interval(mean=mean, low=0.0, high=1.0, slates=9)}
        for side, mean in ((CANDIDATE, candidate), (PRODUCTION, production))
    }
    return Beside("c<1>", "p1", values, {metric: difference}, slates=9, users=3, k=5)


@pytest.mark.parametrize(
    ("candidate", "production", "margin", "passed"),
    [
        (0.20, 0.20, 0.0, True),
        (0.19, 0.20, 0.0, False),
        (0.19, 0.20, 0.05, True),  # 5 % below, exactly
        (0.189, 0.20, 0.05, False),
        (0.30, 0.20, 0.0, True),
        (0.0, 0.0, 0.05, True),  # nothing to lose
        (0.0, 0.01, 0.99, False),
    ],
)
def test_the_margin_is_a_share_of_productions_mean(candidate, production, margin, passed):
    (judged,) = judge(beside(candidate, production), GateConfig(metrics=("ndcg",), margin=margin))
    assert judged.passed is passed
    assert judged.floor == pytest.approx(production * (1 - margin))


shares = st.floats(0, 1, allow_subnormal=False)


@given(candidate=shares, production=shares, margin=st.floats(0, 0.9), below=shares)
def test_proof_is_never_easier_than_a_measurement(candidate, production, margin, below):
    found = beside(candidate, production, low=candidate - production - below)
    measured, proven = (
        judge(found, GateConfig(metrics=("ndcg",), margin=margin, evidence=evidence))[0]
        for evidence in ("measured", "proven")
    )
    assert proven.floor == measured.floor
    assert proven.reached <= measured.reached
    assert measured.passed or not proven.passed


def test_a_metric_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"gate\.metrics: recall is defined for none of 9 test slates"):
        judge(beside(0.1, 0.1), GateConfig(metrics=("recall",)))


def test_the_page_says_what_was_decided_and_by_what():
    gate = GateConfig(metrics=("ndcg",), margin=0.05)
    found = beside(0.1, 0.2)
    page = html(found, judge(found, gate), gate, 0.95)
    assert "Refused: ndcg@5 reaches 0.1000, below 0.1900" in page
    assert "c&lt;1&gt;" in page
    assert '<td class="fail">0.1000 of 0.1900</td>' in page
    found = beside(0.2, 0.2)
    assert "Passed: it is within the margin" in html(found, judge(found, gate), gate, 0.95)


@pytest.fixture(scope="module")
def data(nano_run: Path) -> PreparedData:
    return PreparedData.load(nano_run / "data")


@pytest.fixture(scope="module")
def pretrained(nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of the run with the model as it was before alignment."""
    return realigned_bundle(
        Bundle.open(nano_run / "bundle"),
        tmp_path_factory.mktemp("pretrained") / "bundle",
        nano_run / "pretrained" / "model",
        data_fingerprint="0",
        config=Bundle.open(nano_run / "bundle").manifest.config,
        metrics={},
    )


def test_both_are_measured_as_the_evaluation_measures(
    nano_run: Path, nano_config: RunConfig, data: PreparedData, pretrained: Bundle
) -> None:
    found = compare_bundles(Bundle.open(nano_run / "bundle"), pretrained, data, nano_config)
    for side, model in ((CANDIDATE, "higr"), (PRODUCTION, "higr_pretrained")):
        measured = Measured.load(nano_run / "evaluation" / "measured" / f"{model}.parquet")
        assert found.slates == len(measured.slates)
        for metric in ("ndcg@5", "effective_view_hit@5", "impression_hit@5"):
            values = measured.values[metric]
            assert found.values[side][metric].mean == pytest.approx(values[values == values].mean())


def test_a_bundle_differs_from_itself_in_nothing(
    nano_bundle: Path, nano_config: RunConfig, data: PreparedData
) -> None:
    bundle = Bundle.open(nano_bundle)
    found = compare_bundles(bundle, bundle, data, nano_config)
    assert {(d.mean, d.low, d.high) for d in found.differences.values()} == {(0.0, 0.0, 0.0)}
    assert {d.p_value for d in found.differences.values()} == {1.0}
    assert all(one.passed for one in judge(found, GateConfig(margin=0.0, evidence="proven")))


def test_items_that_left_count_for_neither_side(
    nano_bundle: Path, nano_config: RunConfig, data: PreparedData, tmp_path: Path
) -> None:
    production = Bundle.open(nano_bundle)
    gone, hidden = production.catalog.item_ids[:10], production.catalog.item_ids[10:20]
    update_bundle(nano_bundle, tmp_path / "candidate", Changes(remove=gone, disable=hidden), lambda *_: None)
    candidate = Bundle.open(tmp_path / "candidate")
    # A production that showed one of them would be refused by the measurement itself.
    found = compare_bundles(candidate, production, data, nano_config)
    assert found.values[PRODUCTION].keys() == found.values[CANDIDATE].keys()
    assert (found.candidate, found.production) == (candidate.version, production.version)


def test_a_moment_takes_the_place_of_the_test_period(
    nano_bundle: Path, nano_config: RunConfig, data: PreparedData
) -> None:
    bundle = Bundle.open(nano_bundle)
    times = data.slates["timestamp"]
    since = times[len(times) - 30].as_py()
    newer = sum(moment >= since for moment in times.to_pylist())
    assert compare_bundles(bundle, bundle, data, nano_config, since).slates == newer
    with pytest.raises(InputError, match="no slate since 2030"):
        compare_bundles(bundle, bundle, data, nano_config, since.replace(year=2030))
