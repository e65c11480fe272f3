"""The models of `benchmarks.quality`: trained on a data set, each as a `Recommender` a row."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from benchmarks.quality_data import Prepared
from higr.baseline.incumbent import Incumbent
from higr.baseline.popularity import Popularity
from higr.catalog import Catalog
from higr.config import ModelConfig, RunConfig
from higr.data.prepared import PreparedData
from higr.decode.beam import beam_search
from higr.decode.recommender import HiGRRecommender
from higr.decode.requests import CatalogRecommender
from higr.decode.slate import DecodedSlates, ItemStep
from higr.eligibility import Exclusions, pick_items
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary
from higr.peers.build import Kind, build_peer
from higr.peers.onerec import OneRec
from higr.peers.onerec_decode import Rule
from higr.peers.recommenders import OneRecRecommender, SASRecRecommender, TigerRecommender
from higr.peers.tiger import Tiger
from higr.slate import Recommender
from higr.training.examples import build_examples, fit_profiles
from higr.training.fit import fit


def trained(
    model: str, rows: Mapping[str, str], data: Prepared, config: RunConfig, catalog: Catalog, latest: int
) -> tuple[dict[str, Recommender], dict[str, Any]]:
    """Recommenders by row, and what making them took, in seconds of its one thread on a core.

    Args:
        model: higr, onerec, onerec_moe, tiger, tiger_pooled, sasrec, incumbent or popular.
        rows: row to rule of decoding: OneRec's session or greedy; HiGR's is empty, or `first`, which
            serves the likeliest items of the first position as the slate. `RULE/W` sets the beam's width.
        latest: training slates, the latest ones; 0: all.
    """
    prepared = latest_slates(data.training, latest)
    train = prepared.split("train")
    figures: dict[str, Any] = {"training_slates": train.num_rows}
    started = time.process_time()
    if model == "popular":
        return {"popular": Popularity.fit(prepared)}, {
            **figures,
            "train_seconds": time.process_time() - started,
        }
    if model == "incumbent":
        short = latest_slates(data.short, 2 * latest)
        contexts = data.history.contexts(short.split("train"))
        incumbent = Incumbent.fit(short, contexts, config.baseline, config.seed)
        return {"incumbent": incumbent}, {**figures, "train_seconds": time.process_time() - started}
    profiles = fit_profiles(data.training, data.history, config.model)
    examples, held_out = (
        build_examples(slates, data.history, catalog, profiles, config)
        for slates in (train, prepared.split("validation"))
    )
    torch.manual_seed(config.seed)
    built = build(model, config.model, catalog, profiles)
    started = time.process_time()
    curve = fit(built, examples, held_out, catalog.code_tensor, config.training, config.seed, label=model)
    figures |= {
        "train_seconds": time.process_time() - started,
        "parameters": sum(parameter.numel() for parameter in built.parameters()),
        "epochs": len(curve) - 1,
        "validation_loss": min(record["validation_loss"] for record in curve),
    }
    disabled = prepared.disabled
    beam = config.decode.beam_width
    return {row: _recommender(built, catalog, beam, rule, disabled) for row, rule in rows.items()}, figures


def build(kind: str, config: ModelConfig, catalog: Catalog, profiles: ProfileVocabulary) -> Any:
    """HiGR of this configuration, or a peer with as many parameters; `tiger_pooled` is TIGER with one token
    an event of the history, as HiGR has, instead of D."""
    shape = (catalog.depth, catalog.codebook_size, profiles)
    if kind == "higr":
        return HiGR(config, *shape, catalog.tokenizer_id)
    shape_and_size = (*shape, len(catalog), catalog.tokenizer_id)
    if kind == "tiger_pooled":
        return build_peer("tiger", config, *shape_and_size, tiger_history="item")
    return build_peer(cast(Kind, kind), config, *shape_and_size)


class FirstPosition(CatalogRecommender):
    """HiGR as a model of one next item: the slate is the first position's beam, no slate is planned."""

    def __init__(self, model: HiGR, catalog: Catalog, beam_width: int, disabled: Iterable[str]) -> None:
        super().__init__(catalog, model.profiles, model.config, disabled)
        self.model, self.beam_width = model.eval(), beam_width

    @torch.inference_mode()
    def _decode(self, batch: ContextBatch, slate_size: int, excluded: list[list[int]]) -> DecodedSlates:
        eligibility, tree = Exclusions(self._tree, excluded, strikes=0), self._tree
        context = self.model.encode(batch, self.catalog.code_tensor)
        plan, _ = self.model.plan_step(context, 0, None, None)
        width = max(self.beam_width, slate_size)
        beams = beam_search(eligibility, width, ItemStep(self.model, context, 0, plan))
        scores = beams.scores[:, :slate_size]
        items = [pick_items(eligibility, leaves) for leaves in beams.leaves[:, :slate_size].unbind(dim=1)]
        found = torch.stack([tree.catalog_positions(slots) for slots in items], dim=1)
        return DecodedSlates(torch.where(scores > -torch.inf, found, -1), scores)


def _recommender(model: Any, catalog: Catalog, beam: int, rule: str, disabled: Iterable[str]) -> Recommender:
    rule, _, width = rule.partition("/")
    beam = int(width or beam)
    match model:
        case HiGR():
            if rule == "first":
                return FirstPosition(model, catalog, beam, disabled)
            return HiGRRecommender(model, catalog, beam, disabled)
        case OneRec():
            return OneRecRecommender(model, catalog, beam, cast(Rule, rule), disabled)
        case Tiger():
            return TigerRecommender(model, catalog, beam, disabled)
    return SASRecRecommender(model, catalog, disabled)


def latest_slates(data: PreparedData, count: int) -> PreparedData:
    """With the latest `count` training slates and no training event before them; 0: as it is."""
    train = np.flatnonzero(np.array(data.slates["split"].to_pylist()) == "train")
    if not count or count >= len(train):
        return data
    dropped = train[:-count]
    first = data.slates["timestamp"][int(train[-count])]
    kept = np.delete(np.arange(data.slates.num_rows), dropped)
    events = data.events.filter(pc.greater_equal(data.events["timestamp"], first))
    return replace(data, slates=data.slates.take(pa.array(kept)), events=events)
