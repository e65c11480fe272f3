"""Run: pytest tests/test_stages.py"""

import hashlib
from pathlib import Path

import pytest

from higr import stages
from higr.bundle import Bundle
from higr.config import RunConfig, load_config
from higr.data.prepared import PreparedData
from higr.decode.recommender import HiGRRecommender
from higr.errors import QualityGateError
from higr.slate import UserContext
from higr.training.curves import read_curve
from tests.conftest import NANO


@pytest.mark.slow
def test_the_same_seed_gives_the_same_ids_weights_and_slates(
    nano_run: Path, nano_config: RunConfig, tmp_path: Path
) -> None:
    for stage in stages.STAGES.values():
        stage(nano_config, tmp_path, lambda *_: None)
    for file in (
        "tokens/catalog.parquet",
        "pretrained/model/model.safetensors",
        "aligned/model/model.safetensors",
    ):
        digests = {hashlib.sha256((run / file).read_bytes()).hexdigest() for run in (nano_run, tmp_path)}
        assert len(digests) == 1, file
    one, two = Bundle.open(nano_run / "bundle"), Bundle.open(tmp_path / "bundle")
    assert one.version == two.version
    users = [UserContext(f"user {n}", tuple(one.catalog.item_ids[n : n + 3]), (2, 1, 3)) for n in range(8)]
    assert HiGRRecommender.from_bundle(one).recommend(users, 5) == HiGRRecommender.from_bundle(two).recommend(
        users, 5
    )


def test_another_seed_gives_another_world(nano_run: Path, tmp_path: Path) -> None:
    config = load_config("nano", {**NANO, "seed": 1})
    stages.prepare(config, tmp_path / "data")
    assert (
        PreparedData.load(tmp_path / "data").report["fingerprint"]
        != PreparedData.load(nano_run / "data").report["fingerprint"]
    )


def test_the_gate_stops_the_run_and_leaves_its_report(nano_run: Path, tmp_path: Path) -> None:
    config = load_config("nano", {**NANO, "tokenizer.gate.min_consistency": 1.0})
    with pytest.raises(QualityGateError, match="consistency"):
        stages.tokenize(config, nano_run / "data", tmp_path / "tokens")
    assert "consistency" in (tmp_path / "tokens" / "report.html").read_text()
    assert sorted(file.name for file in (tmp_path / "tokens").iterdir()) == ["quality.json", "report.html"]


def test_training_and_alignment_lower_their_losses(nano_run: Path) -> None:
    pretrained, aligned = read_curve(nano_run / "pretrained"), read_curve(nano_run / "aligned")
    assert pretrained[-1]["train_loss"] < pretrained[1]["train_loss"]
    assert sum(aligned[0]["pairs"].values()) > 0
    assert aligned[-1]["validation_loss"] < aligned[0]["validation_loss"]
