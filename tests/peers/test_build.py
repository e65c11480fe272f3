"""Sizes of peers. Run: pytest tests/peers/test_build.py"""

from typing import Literal, get_args

import pytest
import torch

from higr.config import ExpertsConfig, ModelConfig
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.peers.build import Kind, build_peer
from higr.peers.onerec import OneRec
from higr.peers.tiger import Tiger

PROFILES = ProfileVocabulary({"age": ("old", "young")})
BASES = {
    64: ModelConfig(width=64, feedforward=172),
    128: ModelConfig(),
    256: ModelConfig(width=256, heads=8, encoder_layers=3, planner_layers=4, feedforward=688),
}


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("width", BASES)
@pytest.mark.parametrize(("items", "codebook_size"), [(7_583, 64), (12_101, 256)])
def test_parameters_are_within_a_tenth_of_higrs(
    kind: Kind, width: int, items: int, codebook_size: int
) -> None:
    with torch.device("meta"):
        higr = HiGR(BASES[width], 3, codebook_size, PROFILES, "")
        peer = build_peer(kind, BASES[width], 3, codebook_size, PROFILES, items)
    due, found = (sum(p.numel() for p in model.parameters()) for model in (higr, peer))
    assert abs(found - due) <= 0.1 * due
    assert peer.config.history_length == BASES[width].history_length


def test_onerec_and_tiger_keep_width_and_depth() -> None:
    for kind in ("onerec", "onerec_moe", "tiger"):
        peer = build_peer(kind, BASES[128], 3, 64, PROFILES, 100, "tokenizer")
        assert isinstance(peer, OneRec | Tiger)
        assert peer.config.width == 128
        assert len(peer.encoder.blocks) == 2
        assert len(peer.decoder.blocks) == 4
        assert peer.tokenizer_id == "tokenizer"


@pytest.mark.parametrize("history", ["item", "code"])
def test_tiger_reads_the_history_as_told(history: Literal["item", "code"]) -> None:
    peer = build_peer("tiger", BASES[64], 3, 64, PROFILES, 100, tiger_history=history)
    assert peer.config.history_tokens == history


def test_experts_are_as_many_as_asked() -> None:
    default = build_peer("onerec_moe", BASES[128], 3, 64, PROFILES, 100)
    assert isinstance(default, OneRec)
    assert default.experts is not None
    assert (default.experts.count, default.experts.chosen) == (24, 2)
    few = build_peer("onerec_moe", BASES[128], 3, 64, PROFILES, 100, experts=ExpertsConfig(count=4))
    assert isinstance(few, OneRec)
    assert few.experts is not None
    assert (few.experts.count, few.experts.chosen) == (4, 2)
    assert few.experts.feedforward > 3 * default.experts.feedforward


def test_a_catalogue_too_large_for_the_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"sasrec of this width has .* take a larger model or fewer items"):
        build_peer("sasrec", BASES[64], 3, 64, PROFILES, 1_000_000)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="no peer 'bert4rec'; there are onerec"):
        build_peer("bert4rec", BASES[64], 3, 64, PROFILES, 100)  # type: ignore[arg-type]
