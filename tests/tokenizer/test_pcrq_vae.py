"""Residual quantisation against an independent implementation."""

import numpy as np
import pytest
import torch
from vector_quantize_pytorch import ResidualVQ

from higr.tokenizer import residual
from higr.tokenizer.codebooks import fit_codebooks, refit_codebooks, reseed_dead
from higr.tokenizer.pcrq_vae import PCRQVAE
from higr.tokenizer.residual import nearest


@pytest.fixture
def model() -> PCRQVAE:
    torch.manual_seed(0)
    return PCRQVAE(width=12, hidden=(16,), latent_dim=8, depth=3, codebook_size=16, unit=False)


def test_quantise_agrees_with_residual_vq(model: PCRQVAE) -> None:
    oracle = ResidualVQ(dim=8, num_quantizers=3, codebook_size=16).eval()
    with torch.no_grad():
        for layer, codebook in zip(oracle.layers, model.codewords, strict=True):
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
    assert torch.equal(out.selected[:, 1], model.codewords[1][out.codes[:, 1]])


def test_ties_go_to_the_lower_code() -> None:
    assert nearest(torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist() == [0]


def test_encode_in_blocks_is_encode_at_once(model: PCRQVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(50, 12)
    whole = model.encode(x.numpy())
    monkeypatch.setattr(residual, "BLOCK", 7)
    parts = model.encode(x.numpy())
    assert np.array_equal(whole.codes, parts.codes)
    assert np.allclose(whole.latents, parts.latents, atol=1e-6)
    assert np.allclose(whole.errors, parts.errors, atol=1e-5)
    assert whole.codes.dtype == np.int32


def test_codes_latents_and_errors_are_what_the_layers_say(model: PCRQVAE) -> None:
    x = torch.randn(50, 12)
    found = model.encode(x.numpy())
    with torch.no_grad():
        z = model.latent(x)
        decoded = model.decoder(model.codewords[torch.arange(3), torch.from_numpy(found.codes).long()].sum(1))
    assert np.array_equal(found.codes, model.quantise(z).codes.numpy())
    assert np.allclose(found.latents, z.numpy(), atol=1e-6)
    assert np.allclose(found.errors, ((x - decoded) ** 2).sum(1).numpy(), atol=1e-5)
    assert np.allclose(model.decode(found.codes), decoded.numpy(), atol=1e-6)


def test_fit_codebooks_finds_the_clusters_and_then_their_residuals(model: PCRQVAE) -> None:
    """16 clusters, each of 4 offsets shared by all: level 1 takes the clusters, level 2 the offsets."""
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(16, 1, 8))
    offsets = rng.normal(size=(1, 4, 8))
    offsets -= offsets.mean(axis=1, keepdims=True)
    z = torch.from_numpy((centres + offsets).reshape(-1, 8).astype(np.float32))
    model.encoder = torch.nn.Sequential(torch.nn.Identity())
    fit_codebooks(model, z.numpy(), seed=0)
    found = model.quantise(z)
    error = (z - found.selected[:, 0] - found.selected[:, 1]).square().sum(1)
    assert len(found.codes[:, 0].unique()) >= 14  # one run of k-means may merge a pair
    assert error.mean() < 0.05 * z.square().sum(1).mean()
    first = model.codewords.detach().clone()
    fit_codebooks(model, z.numpy(), seed=0)
    assert torch.equal(first, model.codewords)


def test_fit_codebooks_with_fewer_distinct_points_than_codewords(model: PCRQVAE) -> None:
    fit_codebooks(model, np.tile(np.eye(12, dtype=np.float32)[:4], (8, 1)), seed=0)
    assert torch.isfinite(model.codewords).all()


def test_dead_codewords_move_onto_residuals_and_forget_their_moments(model: PCRQVAE) -> None:
    optimizer = torch.optim.AdamW([model.codewords])
    model.codewords.square().sum().backward()
    optimizer.step()
    before = model.codewords.detach().clone()
    used = torch.ones(3, 16, dtype=torch.bool)
    used[1, [3, 5]] = False
    residuals = torch.randn(10, 3, 8)
    assert reseed_dead(model, residuals, used, optimizer, torch.Generator().manual_seed(0)) == 2
    changed = (model.codewords != before).any(dim=-1)
    assert changed.nonzero().tolist() == [[1, 3], [1, 5]]
    for code in (3, 5):
        assert (model.codewords[1, code] == residuals[:, 1]).all(dim=1).any()
    moments = optimizer.state[model.codewords]["exp_avg"]
    assert not moments[1, [3, 5]].any()
    assert moments[1, 4].any()


def test_unit_latents_have_length_one(model: PCRQVAE) -> None:
    model.unit = True
    assert np.allclose(
        np.linalg.norm(model.encode(np.eye(12, dtype=np.float32)).latents, axis=1), 1, atol=1e-6
    )


def test_refitted_codewords_are_used_alike_and_tell_siblings_apart(model: PCRQVAE) -> None:
    """16 x 16 prefixes at the corners of two grids, 8 items around each, much closer than prefixes."""
    rng = np.random.default_rng(0)
    first, second = 100 * rng.normal(size=(2, 16, 1, 1, 4))
    offsets = rng.normal(size=(256, 8, 4))
    offsets -= offsets.mean(axis=1, keepdims=True)
    prefixes = np.concatenate(
        [first + np.zeros((16, 16, 1, 4)), np.swapaxes(second, 0, 1) + np.zeros((16, 16, 1, 4))], axis=3
    )
    # What the two levels above leave differs from prefix to prefix by more than items do within one.
    shift = 3 * rng.normal(size=(16, 16, 1, 8))
    rows = prefixes + shift + np.pad(offsets.reshape(16, 16, 8, 4), ((0, 0), (0, 0), (0, 0), (0, 4)))
    x = rows.reshape(-1, 8).astype(np.float32)
    model.width, model.encoder = 8, torch.nn.Sequential(torch.nn.Identity())

    def collision() -> float:
        codes, _ = residual.residual_codes(torch.from_numpy(x), model.codewords, model.prices)
        return 1 - len(codes.unique(dim=0)) / len(x)

    fit_codebooks(model, x, seed=0)
    before = collision()
    refit_codebooks(model, x, seed=0)
    codes, _ = residual.residual_codes(torch.from_numpy(x), model.codewords, model.prices)
    for level in range(3):
        counts = torch.bincount(codes[:, level], minlength=16)
        assert counts.max() <= 1.1 * len(x) / 16
    assert collision() < before


def test_refit_of_items_that_all_have_a_prefix_of_their_own(model: PCRQVAE) -> None:
    refit_codebooks(model, np.eye(12, dtype=np.float32).repeat(2, axis=0), seed=0)
    assert torch.isfinite(model.codewords).all()
    assert torch.isfinite(model.prices).all()
