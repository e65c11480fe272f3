"""Losses by hand, by finite differences, and where their gradients may go."""

import math

import pytest
import torch
from torch import Tensor
from vector_quantize_pytorch import ResidualVQ

from higr.tokenizer import losses
from higr.tokenizer.pcrq_vae import PCRQVAE

T = torch.tensor


def contrast(anchors: Tensor, positives: Tensor, **changes: object) -> Tensor:
    """All levels but the last, everything valid and nothing related."""
    size = len(anchors)
    arguments: dict[str, object] = {
        "related": torch.zeros(size, size, dtype=torch.bool),
        "valid": torch.ones(size, dtype=torch.bool),
        "level_weights": (1.0,) * (anchors.shape[1] - 1),
        "temperature": 1.0,
    }
    return losses.prefix_contrast(anchors, positives, **(arguments | changes))  # type: ignore[arg-type]


def two_levels(rows: list[list[float]]) -> Tensor:
    first = T(rows)[:, None]
    return torch.cat([first, torch.ones_like(first)], dim=1)


def test_reconstruction_by_hand() -> None:
    assert (
        losses.reconstruction(T([[1.0, 2.0], [0.0, 0.0]]), T([[0.0, 0.0], [3.0, 0.0]])) == 7.0
    )  # (5 + 9) / 2


@pytest.mark.parametrize(("beta", "expected"), [(0.0, 2.5), (0.1, 2.75), (1.0, 5.0)])
def test_global_quantisation_by_hand(beta: float, expected: float) -> None:
    z, quantised = T([[1.0, 0.0], [0.0, 2.0]]), T([[0.0, 0.0], [0.0, 0.0]])
    assert losses.global_quantisation(z, quantised, beta).item() == pytest.approx(expected)


def test_global_quantisation_stops_gradients() -> None:
    z, quantised = T([[3.0]], requires_grad=True), T([[1.0]], requires_grad=True)
    losses.global_quantisation(z, quantised, beta=0.1).backward()
    assert quantised.grad is not None
    assert quantised.grad.item() == pytest.approx(-4.0)  # -2 (z - q), no beta
    assert z.grad is not None
    assert z.grad.item() == pytest.approx(0.4)  # 2 beta (z - q)


def test_contrast_by_hand() -> None:
    """Orthogonal anchors, each with itself as positive: logits [[1, 0], [0, 1]]."""
    rows = two_levels([[2.0, 0.0], [0.0, 5.0]])
    expected = math.log(math.e + 1) - 1
    assert contrast(rows, rows).item() == pytest.approx(expected, rel=1e-6)
    assert contrast(rows, rows, level_weights=(0.3,)).item() == pytest.approx(0.3 * expected, rel=1e-6)
    sharp = math.log(math.exp(2) + 1) - 2
    assert contrast(rows, rows, temperature=0.5).item() == pytest.approx(sharp, rel=1e-6)


def test_contrast_is_divided_by_levels() -> None:
    one = T([[2.0, 0.0], [0.0, 5.0]])[:, None]
    rows = torch.cat([one, one, one], dim=1)  # D = 3: two levels count
    expected = (1.0 + 0.1) * (math.log(math.e + 1) - 1) / 2
    assert contrast(rows, rows, level_weights=(1.0, 0.1)).item() == pytest.approx(expected, rel=1e-6)


def test_contrast_leaves_out_what_is_no_negative() -> None:
    rows = two_levels([[2.0, 0.0], [0.0, 5.0]])
    assert contrast(rows, rows, related=T([[False, True], [True, False]])).item() == 0.0
    one_sided = contrast(rows, rows, related=T([[False, True], [False, False]])).item()
    assert one_sided == pytest.approx((math.log(math.e + 1) - 1) / 2, rel=1e-6)


def test_contrast_takes_as_many_levels_as_there_are_weights() -> None:
    one = T([[2.0, 0.0], [0.0, 5.0]])[:, None]
    rows = torch.cat([one, one, one], dim=1)
    expected = (1.0 + 0.1 + 0.1) * (math.log(math.e + 1) - 1) / 3
    assert contrast(rows, rows, level_weights=(1.0, 0.1, 0.1)).item() == pytest.approx(expected, rel=1e-6)


def test_layer_loss_by_hand() -> None:
    residuals, selected = T([[[1.0, 0.0], [0.0, 2.0]]]), T([[[0.0, 0.0], [0.0, 0.0]]])
    assert losses.layer_quantisation(residuals, selected, 0.25).item() == pytest.approx(1.25 * (1 + 4))


def test_contrast_counts_valid_anchors_only() -> None:
    anchors = two_levels([[1.0, 0.0], [0.0, 1.0]])
    positives = two_levels([[1.0, 0.0], [1.0, 0.0]])
    half = contrast(anchors, positives, valid=T([False, True]))
    assert half.item() == pytest.approx(math.log(2), rel=1e-6)  # both logits of anchor 1 are 0
    assert contrast(anchors, positives, valid=T([False, False])).item() == 0.0


def test_contrast_gradient_by_finite_differences() -> None:
    torch.manual_seed(0)
    anchors = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    positives = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, p: contrast(a, p, level_weights=(1.0, 0.1), temperature=0.2), (anchors, positives)
    )


@pytest.fixture
def model() -> PCRQVAE:
    torch.manual_seed(1)
    return PCRQVAE(width=6, hidden=(8,), latent_dim=4, depth=3, codebook_size=5)


def reached(model: PCRQVAE) -> dict[str, bool]:
    return {
        "encoder": any(p.grad is not None and bool(p.grad.any()) for p in model.encoder.parameters()),
        "codebooks": model.codewords.grad is not None and bool(model.codewords.grad.any()),
        "decoder": any(p.grad is not None and bool(p.grad.any()) for p in model.decoder.parameters()),
    }


def test_reconstruction_reaches_the_encoder_straight_through_but_no_codebook(model: PCRQVAE) -> None:
    x = torch.randn(16, 6)
    z = model.encoder(x)
    losses.reconstruction(x, model.reconstruct(z, model.quantise(z).sum)).backward()
    assert reached(model) == {"encoder": True, "codebooks": False, "decoder": True}


def test_global_loss_moves_every_level_alike(model: PCRQVAE) -> None:
    z = model.encoder(torch.randn(1, 6))
    quantised = model.quantise(z)
    losses.global_quantisation(z, quantised.sum, 0.1).backward()
    assert reached(model) == {"encoder": True, "codebooks": True, "decoder": False}
    gradients = model.codewords.grad[torch.arange(3), quantised.codes[0]]  # type: ignore[index]
    assert torch.allclose(gradients, 2 * (quantised.sum - z).expand(3, -1), atol=1e-6)


def both_sides(model: PCRQVAE, *, straight: bool) -> tuple[Tensor, Tensor]:
    sides = [model.quantise(model.latent(torch.randn(16, 6))) for _ in range(2)]
    if straight:
        return tuple(losses.straight_through(side.residuals, side.selected) for side in sides)  # type: ignore[return-value]
    return sides[0].selected, sides[1].selected


def test_contrast_reaches_codebooks_but_not_the_last(model: PCRQVAE) -> None:
    contrast(*both_sides(model, straight=False), level_weights=(1.0, 0.1)).backward()
    assert reached(model) == {"encoder": False, "codebooks": True, "decoder": False}
    assert model.codewords.grad is not None
    assert model.codewords.grad[0].any()
    assert model.codewords.grad[1].any()
    assert not model.codewords.grad[2].any()


def test_contrast_on_all_levels_reaches_the_last(model: PCRQVAE) -> None:
    contrast(*both_sides(model, straight=False), level_weights=(1.0, 0.1, 0.1)).backward()
    assert model.codewords.grad is not None
    assert model.codewords.grad[2].any()


def test_straight_through_it_reaches_the_encoder_alone(model: PCRQVAE) -> None:
    contrast(*both_sides(model, straight=True), level_weights=(1.0, 0.1)).backward()
    assert reached(model) == {"encoder": True, "codebooks": False, "decoder": False}


def test_straight_through_is_the_selected_codewords(model: PCRQVAE) -> None:
    found = model.quantise(model.latent(torch.randn(16, 6)))
    assert torch.allclose(losses.straight_through(found.residuals, found.selected), found.selected)


def test_last_codewords_do_not_change_the_contrast(model: PCRQVAE) -> None:
    left, right = both_sides(model, straight=False)
    before = contrast(left, right, level_weights=(1.0, 0.1))
    other = torch.cat([left[:, :2], torch.randn(16, 1, 4)], dim=1)
    assert torch.equal(before, contrast(other, right, level_weights=(1.0, 0.1)))


def test_layer_loss_asks_each_level_for_its_own_residual(model: PCRQVAE) -> None:
    """A codeword moves towards what it was given, the encoder towards all it chose, no level for another."""
    found = model.quantise(model.latent(torch.randn(1, 6)))
    losses.layer_quantisation(found.residuals, found.selected, 0.25).backward()
    assert reached(model) == {"encoder": True, "codebooks": True, "decoder": False}
    gradients = model.codewords.grad[torch.arange(3), found.codes[0]]  # type: ignore[index]
    assert torch.allclose(gradients, 2 * (found.selected - found.residuals)[0], atol=1e-6)


def test_layer_loss_agrees_with_residual_vq(model: PCRQVAE) -> None:
    """vector-quantize-pytorch averages over features and leaves the commitment's weight outside."""
    oracle = ResidualVQ(dim=4, num_quantizers=3, codebook_size=5, commitment_weight=1.0)
    with torch.no_grad():
        for layer, codebook in zip(oracle.layers, model.codewords, strict=True):
            layer._codebook.embed.copy_(codebook[None])
    z = torch.randn(32, 4)
    _, _, theirs = oracle(z[None], freeze_codebook=True)
    found = model.quantise(z)
    commitment = losses.layer_quantisation(found.residuals, found.selected.detach(), 1.0) / 2
    assert commitment.item() == pytest.approx(4 * theirs.sum().item(), rel=1e-4)
