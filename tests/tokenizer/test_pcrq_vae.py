"""Residual quantisation against an independent implementation."""

import numpy as np
import pytest
import torch
from vector_quantize_pytorch import ResidualVQ

from higr.tokenizer import pcrq_vae
from higr.tokenizer.codebooks import kmeans_init, reseed_dead
from higr.tokenizer.pcrq_vae import PCRQVAE, nearest


@pytest.fixture
def model() -> PCRQVAE:
    torch.manual_seed(0)
    return PCRQVAE(width=12, hidden=(16,), latent_dim=8, depth=3, codebook_size=16)


def test_quantise_agrees_with_residual_vq(model: PCRQVAE) -> None:
    oracle = ResidualVQ(dim=8, num_quantizers=3, codebook_size=16).eval()
    with torch.no_grad():
        for layer, codebook in zip(oracle.layers, model.codebooks, strict=True):
            layer._codebook.embed.copy_(codebook[None])
    z = torch.randn(200, 8)
    theirs, codes, _ = oracle(z[None])
    ours = model.quantise(z)
    assert torch.equal(ours.codes, codes[0])
    assert torch.allclose(ours.sum, theirs[0], atol=1e-5)


def test_residuals_are_what_each_level_is_given(model: PCRQVAE) -> None:
    z = torch.randn(5, 8)
    out = model.quantise(z)
    assert torch.equal(out.residuals[:, 0], z)
    assert torch.allclose(out.residuals[:, 2], z - out.selected[:, 0] - out.selected[:, 1], atol=1e-6)
    assert torch.equal(out.selected[:, 1], model.codebooks[1][out.codes[:, 1]])


def test_ties_go_to_the_lower_code() -> None:
    assert nearest(torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist() == [0]


def test_encode_in_blocks_is_encode_at_once(model: PCRQVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(50, 12)
    codes, latents, errors = model.encode(x)
    monkeypatch.setattr(pcrq_vae, "BLOCK", 7)
    again = model.encode(x)
    assert torch.equal(codes, again[0])
    assert torch.allclose(latents, again[1], atol=1e-6)
    with torch.no_grad():
        decoded = model.decoder(model.codebooks[torch.arange(3), codes].sum(1))
    assert torch.allclose(errors, ((x - decoded) ** 2).sum(1), atol=1e-5)
    assert torch.allclose(errors, again[2], atol=1e-5)


def test_kmeans_init_finds_the_clusters_and_then_their_residuals(model: PCRQVAE) -> None:
    """16 clusters, each of 4 offsets shared by all: level 1 takes the clusters, level 2 the offsets."""
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(16, 1, 8))
    offsets = rng.normal(size=(1, 4, 8))
    offsets -= offsets.mean(axis=1, keepdims=True)
    z = torch.from_numpy((centres + offsets).reshape(-1, 8).astype(np.float32))
    model.encoder = torch.nn.Sequential(torch.nn.Identity())
    kmeans_init(model, z, seed=0)
    found = model.quantise(z)
    error = (z - found.selected[:, 0] - found.selected[:, 1]).square().sum(1)
    assert len(found.codes[:, 0].unique()) >= 14  # one run of k-means may merge a pair
    assert error.mean() < 0.05 * z.square().sum(1).mean()
    first = model.codebooks.detach().clone()
    kmeans_init(model, z, seed=0)
    assert torch.equal(first, model.codebooks)


def test_kmeans_init_with_fewer_distinct_points_than_codewords(model: PCRQVAE) -> None:
    kmeans_init(model, torch.eye(12)[:4].repeat(8, 1), seed=0)
    assert torch.isfinite(model.codebooks).all()


def test_dead_codewords_move_onto_residuals_and_forget_their_moments(model: PCRQVAE) -> None:
    optimizer = torch.optim.AdamW([model.codebooks])
    model.codebooks.square().sum().backward()
    optimizer.step()
    before = model.codebooks.detach().clone()
    used = torch.ones(3, 16, dtype=torch.bool)
    used[1, [3, 5]] = False
    residuals = torch.randn(10, 3, 8)
    assert reseed_dead(model, residuals, used, optimizer, torch.Generator().manual_seed(0)) == 2
    changed = (model.codebooks != before).any(dim=-1)
    assert changed.nonzero().tolist() == [[1, 3], [1, 5]]
    for code in (3, 5):
        assert (model.codebooks[1, code] == residuals[:, 1]).all(dim=1).any()
    moments = optimizer.state[model.codebooks]["exp_avg"]
    assert not moments[1, [3, 5]].any()
    assert moments[1, 4].any()
