"""Engines against the reference on the test slates of a run: `higr.decode.parity`."""

import json
from pathlib import Path
from typing import Any

from benchmarks.decoding_systems import ENGINES
from higr.bundle import Bundle
from higr.config import parse_config
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.decode.parity import OVERLAP, measure_parity
from higr.decode.recommender import HiGRRecommender
from higr.evaluation.held_out import HeldOut


def parities(run: Path, engines: list[str], most: int, seed: int) -> dict[str, Any]:
    """Engine to identical, overlap@10 and ndcg@5_delta; the reference itself is left out.

    Args:
        run: what `higr run` or `make demo` made, with folders `bundle` and `data`.
        most: test slates at most.

    Raises:
        BundleError: no sound bundle.
        InputError: no prepared data, or no test slate with an engaged item.
    """
    bundle = Bundle.open(run / "bundle")
    config = parse_config(json.dumps(bundle.manifest.config), f"configuration of bundle {bundle.version}")
    prepared = PreparedData.load(run / "data")
    history = HistoryIndex.build(prepared.events, prepared.users, config.data)
    slates = prepared.split("test")
    settings = config.evaluation.model_copy(update={"max_slates": most})
    test = HeldOut.draw(slates, history.contexts(slates), prepared.items, settings, seed)

    def recommender(engine: str) -> HiGRRecommender:
        model = ENGINES[engine].make(bundle.model)
        return HiGRRecommender(
            model,
            bundle.catalog,
            config.decode.beam_width,
            prepared.disabled,
            cold_discount=config.decode.cold_discount,
        )

    out = {}
    for engine in engines:
        if engine == "reference":
            continue
        found = measure_parity(
            recommender("reference"),
            recommender(engine),
            test.contexts,
            test.logged.strength,
            test.exclude,
            slate_size=min(OVERLAP, bundle.model.config.max_slate_size),
            resamples=config.evaluation.bootstrap,
            confidence=config.evaluation.confidence,
            seed=seed,
        )
        delta = found.ndcg_delta
        out[engine] = {
            "identical": found.identical,
            "overlap@10": found.overlap,
            "ndcg@5_delta": None
            if delta is None
            else {"mean": delta.mean, "low": delta.low, "high": delta.high},
        }
    return out
