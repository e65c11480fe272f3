"""The pointwise ranker: probability of an effective view, by gradient-boosted trees."""

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from higr.baseline.features import FEATURES
from higr.errors import InputError
from higr.files import read_json, write_json

FORMAT = "lightgbm-text"


class Ranker:
    """A LightGBM model over `FEATURES`. Kept as LightGBM's text: nothing executes on load."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._booster = lgb.Booster(model_str=model)

    @classmethod
    def fit(cls, features: np.ndarray, label: np.ndarray, trees: int, seed: int) -> "Ranker":
        """Boost `trees` rounds of logistic loss; one thread, so a seed gives the same trees.

        Args:
            features: (P, len(FEATURES)) float32.
            label: (P,) bool, effectively viewed.
        """
        parameters: dict[str, Any] = {
            "objective": "binary",
            "learning_rate": 0.1,
            "num_leaves": 31,
            "min_data_in_leaf": 50,
            "lambda_l2": 1.0,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "seed": seed,
            "verbosity": -1,
        }
        data = lgb.Dataset(features, label.astype(np.float32), feature_name=list(FEATURES))
        booster = lgb.train(parameters, data, num_boost_round=trees)
        return cls(booster.model_to_string())

    def score(self, features: np.ndarray) -> np.ndarray:
        """(P,) float32 probabilities of an effective view."""
        if not len(features):
            return np.empty(0, np.float32)
        return np.asarray(self._booster.predict(features, num_threads=1), dtype=np.float32)

    def save(self, path: Path) -> None:
        write_json(path, {"format": FORMAT, "features": list(FEATURES), "model": self._model})

    @classmethod
    def load(cls, path: Path) -> "Ranker":
        """Read what `save` wrote.

        Raises:
            InputError: unreadable, no ranker, or trained on other features than this version computes.
        """
        document = read_json(path)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InputError(f"{path} is not a ranker in format {FORMAT!r}; fit the baseline again")
        if document.get("features") != list(FEATURES):
            raise InputError(
                f"{path} ranks by features {document.get('features')}; "
                f"this version computes {list(FEATURES)}; fit the baseline again"
            )
        try:
            return cls(document["model"])
        except (KeyError, TypeError, lgb.basic.LightGBMError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path} holds no readable LightGBM model ({reason}); fit the baseline again"
            ) from None
