"""The ranker learns, repeats itself, and refuses files that are not its own."""

import json
from pathlib import Path

import numpy as np
import pytest

from higr.baseline.features import FEATURES
from higr.baseline.ranker import Ranker
from higr.errors import InputError


def pairs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2000, len(FEATURES))).astype(np.float32)
    return features, features[:, 2] > 0.3


def test_learns_what_the_label_depends_on() -> None:
    features, label = pairs()
    score = Ranker.fit(features, label, 30, 0).score(features)
    assert ((score > 0.5) == label).mean() > 0.98


def test_same_seed_same_model_and_saved_scores_are_the_same(tmp_path: Path) -> None:
    features, label = pairs()
    first, second = (Ranker.fit(features, label, 10, 7) for _ in range(2))
    first.save(tmp_path / "a.json")
    second.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    loaded = Ranker.load(tmp_path / "a.json")
    assert np.array_equal(loaded.score(features), first.score(features))
    assert loaded.score(features[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pickle"}, "not a ranker"),
        ({"features": ["other"]}, "fit the baseline again"),
        ({"model": "tree\nnonsense"}, "no readable LightGBM model"),
        ({"model": None}, "no readable LightGBM model"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "ranker.json"
    Ranker.fit(*pairs(), 2, 0).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        Ranker.load(path)
