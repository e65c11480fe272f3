"""Stages that meet the store: fetch, gate, publish, and realignment with slates kept for the gate."""

from datetime import datetime
from pathlib import Path

import pytest

from higr import production
from higr.bundle import Bundle, realigned_bundle
from higr.config import RunConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError, QualityGateError, StoreError
from higr.store.store import BundleStore


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture(scope="module")
def two(nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Bundles of the run with the model before and after alignment."""
    aligned = Bundle.open(nano_run / "bundle")
    path = tmp_path_factory.mktemp("pretrained") / "bundle"
    realigned_bundle(
        aligned,
        path,
        nano_run / "pretrained" / "model",
        data_fingerprint="0",
        config=aligned.manifest.config,
        metrics={},
    )
    return path, aligned.path


def in_production(store: str, bundle: Path) -> str:
    version, _ = BundleStore(store).publish(bundle, by="test")
    BundleStore(store).promote(version, by="test")
    return version


def test_what_was_published_and_promoted_is_fetched(store, nano_bundle, tmp_path):
    published = production.publish(nano_bundle, store, by="test")
    version = Bundle.open(nano_bundle).version
    assert published == {"version": version, "uri": f"{store}/versions/{version}", "new": 1}
    assert production.publish(nano_bundle, store, by="test")["new"] == 0
    with pytest.raises(StoreError, match="nothing is in production"):
        production.fetch(store, tmp_path / "out")
    BundleStore(store).promote(version, by="test")
    assert production.fetch(store, tmp_path / "out") == {"version": version}
    assert Bundle.open(tmp_path / "out").version == version


def test_without_a_production_it_passes_and_says_so(store, nano_run, nano_config, tmp_path):
    page = tmp_path / "gate.html"
    found = production.gate(nano_config, nano_run / "data", nano_run / "bundle", store, page)
    assert found == {"passed": 1, "compared": 0}
    assert not page.exists()


def test_the_worse_of_two_is_refused_and_the_better_passes(store, nano_run, nano_config, two, tmp_path):
    gate = nano_config.gate.model_copy(update={"metrics": ("impression_hit",), "margin": 0.0})
    config = nano_config.model_copy(update={"gate": gate})
    data, page = nano_run / "data", tmp_path / "gate.html"
    version = in_production(store, two[0])
    outcomes = {}
    try:
        outcomes["second"] = production.gate(config, data, two[1], store, page)
    except QualityGateError as error:
        outcomes["second"] = str(error)
    other = str(tmp_path / "other")
    in_production(other, two[1])
    try:
        outcomes["first"] = production.gate(config, data, two[0], other, page)
    except QualityGateError as error:
        outcomes["first"] = str(error)
    refused = [outcome for outcome in outcomes.values() if isinstance(outcome, str)]
    (passed,) = (outcome for outcome in outcomes.values() if isinstance(outcome, dict))
    assert len(refused) == 1
    assert "impression_hit@5 reaches" in refused[0]
    assert "it is not published" in refused[0]
    assert passed["candidate_impression_hit@5"] > passed["production_impression_hit@5"]
    assert passed["production"] in {version, Bundle.open(two[1]).version}
    assert "Every metric" in page.read_text()


def test_a_realignment_leaves_its_newest_slates_to_the_gate(store, nano_run, nano_config, tmp_path):
    in_production(store, nano_run / "bundle")
    production.fetch(store, tmp_path / "production")
    figures = production.realign(
        nano_config, tmp_path / "production", nano_run / "data", tmp_path / "bundle", hours=96
    )
    slates = PreparedData.load(nano_run / "data").slates["timestamp"].to_pylist()
    since = max(slates).timestamp() - 96 * 3600
    window = [moment for moment in slates if moment.timestamp() >= since]
    left = [moment for moment in window if moment.isoformat() >= figures["test_start"]]
    assert len(left) == pytest.approx(len(window) * nano_config.data.test_fraction, abs=1)
    assert figures["until"] < figures["test_start"]
    assert figures["slates_train"] + figures["slates_validation"] == len(window) - len(left)
    written = Bundle.open(tmp_path / "bundle")
    assert written.manifest.parents == (figures["parent"],)
    page = tmp_path / "gate.html"
    judged = production.gate(
        nano_config.model_copy(update={"gate": nano_config.gate.model_copy(update={"margin": 0.99})}),
        nano_run / "data",
        tmp_path / "bundle",
        store,
        page,
        datetime.fromisoformat(str(figures["test_start"])),
    )
    assert judged["slates"] == len(left)


@pytest.mark.parametrize(
    ("hours", "message"), [(0, "hours is 0;"), (1e9, "at most 2160"), (0.001, "too few")]
)
def test_hours_out_of_range_are_refused(nano_run, nano_config: RunConfig, hours, message, tmp_path):
    with pytest.raises(InputError, match=message):
        production.realign(nano_config, nano_run / "bundle", nano_run / "data", tmp_path / "out", hours)
    assert list(tmp_path.iterdir()) == []
