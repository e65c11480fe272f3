"""The losses of PCRQ-VAE and of RQ-VAE as pure functions (HiGR, arXiv 2512.24787, tokenizer section).

PCRQ-VAE: L = L_recon + lambda_1 * L_global + lambda_2 * L_cont. RQ-VAE: L_recon + L_layers. Squared
distances are summed over features and averaged over the batch; the paper does not report which
reduction it uses.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def reconstruction(x: Tensor, decoded: Tensor) -> Tensor:
    """Mean over B of ||x - decoded||^2; both (B, width)."""
    return (x - decoded).square().sum(dim=-1).mean()


def global_quantisation(z: Tensor, quantised: Tensor, beta: float) -> Tensor:
    """One loss between the latent and the whole sum of codewords, both (B, C).

    ||sg(z) - q||^2 moves codewords, beta * ||z - sg(q)||^2 commits the encoder. A loss a level
    would ask every level for the whole residual and leave nothing to the next.
    """
    codebook = (z.detach() - quantised).square().sum(dim=-1).mean()
    commitment = (z - quantised.detach()).square().sum(dim=-1).mean()
    return codebook + beta * commitment


def layer_quantisation(residuals: Tensor, selected: Tensor, beta: float) -> Tensor:
    """RQ-VAE's loss: that of every level between what it was given and what it chose, summed over levels.

    residuals, selected: (B, D, C). Source: RQ-VAE, arXiv 2203.01941, equation 8; TIGER, section 3.1.
    """
    return torch.stack(
        [
            global_quantisation(residual, chosen, beta)
            for residual, chosen in zip(residuals.unbind(1), selected.unbind(1), strict=True)
        ]
    ).sum()


def straight_through(residuals: Tensor, selected: Tensor) -> Tensor:
    """The selected codewords, with the gradient passed to what selected them instead. All (B, D, C)."""
    return selected.detach() + (residuals - residuals.detach())


def prefix_contrast(
    anchors: Tensor,
    positives: Tensor,
    related: Tensor,
    valid: Tensor,
    level_weights: Sequence[float],
    temperature: float,
) -> Tensor:
    """InfoNCE on the cosine of selected codewords, at the first levels: as many as there are weights.

    The paper has D - 1 of them: the last level is left alone, so that it can tell neighbours apart.
    For anchor i the positive is row i of `positives`, the negatives are the other rows j, except
    those whose item is the anchor itself or another of its positives (`related`). Weighted by w_d
    and divided by the number of levels. An anchor without a positive (`valid` false) counts neither
    in the sum nor in the mean; a batch without any gives 0.

    anchors, positives: (B, D, C) selected codewords. related: (B, B) bool. valid: (B,) bool.
    """
    total = anchors.new_zeros(())
    if not valid.any():
        return total
    target = torch.arange(len(anchors), device=anchors.device)
    others = related & ~torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    for level, weight in enumerate(level_weights):
        logits = cosine(anchors[:, level], positives[:, level]) / temperature  # (B, B)
        per_anchor = F.cross_entropy(logits.masked_fill(others, float("-inf")), target, reduction="none")
        total = total + weight * per_anchor[valid].mean()
    return total / len(level_weights)


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """(B, B) cosines of every row of `left` with every row of `right`, both (B, C)."""
    return F.normalize(left, dim=-1) @ F.normalize(right, dim=-1).T
