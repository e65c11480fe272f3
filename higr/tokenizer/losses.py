"""The three losses of PCRQ-VAE as pure functions (HiGR, arXiv 2512.24787, tokenizer section).

L = L_recon + lambda_1 * L_global + lambda_2 * L_cont. Squared distances are summed over features
and averaged over the batch; the paper does not report which reduction it uses.
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


def prefix_contrast(
    anchors: Tensor,
    positives: Tensor,
    anchor_codes: Tensor,
    positive_codes: Tensor,
    related: Tensor,
    valid: Tensor,
    level_weights: Sequence[float],
    temperature: float,
) -> Tensor:
    """InfoNCE on the cosine of selected codewords, levels 1..D-1; the last level is left alone.

    For anchor i the positive is row i of `positives`, the negatives are the other rows j, except
    - rows whose item is the anchor itself or another of its positives (`related`), and
    - per level, rows with the codeword of the anchor or of its positive: two rows with one
      codeword have one logit, and no move of codewords can tell them apart.
    Weighted by w_d and divided by D - 1. An anchor without a positive (`valid` false) counts
    neither in the sum nor in the mean; a batch without any gives 0.

    anchors, positives: (B, D, C) selected codewords. anchor_codes, positive_codes: (B, D) int64.
    related: (B, B) bool. valid: (B,) bool.
    """
    levels = anchors.shape[1] - 1
    total = anchors.new_zeros(())
    if not valid.any():
        return total
    target = torch.arange(len(anchors), device=anchors.device)
    own = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    for level in range(levels):
        logits = cosine(anchors[:, level], positives[:, level]) / temperature  # (B, B)
        theirs = positive_codes[None, :, level]
        same = (theirs == anchor_codes[:, None, level]) | (theirs == positive_codes[:, None, level])
        logits = logits.masked_fill((related | same) & ~own, float("-inf"))
        per_anchor = F.cross_entropy(logits, target, reduction="none")
        total = total + level_weights[level] * per_anchor[valid].mean()
    return total / levels


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """(B, B) cosines of every row of `left` with every row of `right`, both (B, C)."""
    return F.normalize(left, dim=-1) @ F.normalize(right, dim=-1).T
