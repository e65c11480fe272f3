"""Odds-ratio preference optimisation on slates (arXiv 2512.24787, section 3.3; ORPO: arXiv 2403.07691)."""

import torch
from torch import Tensor
from torch.nn import functional as F

CLOSEST_TO_ONE = 1e-6
"""Probabilities are kept this far below 1, where their odds are still finite."""


def log_odds(log_probs: Tensor) -> Tensor:
    """log(p / (1 - p)) from log p, elementwise, in float32.

    log(1 - p) is computed as log(-expm1(log p)), exact for small and for large p.
    """
    log_probs = log_probs.float().clamp(max=-CLOSEST_TO_ONE)
    return log_probs - torch.log(-torch.expm1(log_probs))


def orpo_loss(chosen: Tensor, rejected: Tensor, mask: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """-log p(y+|x) - alpha * log sigmoid(sum_t l(y+_t) - sum_t l(y-_t)), for each pair.

    The sums run over all M * D codes, as the paper has it; the original ORPO averages over length.

    Args:
        chosen: (B, T) log-probabilities of the codes of y+.
        rejected: (B, T) of y-.
        mask: (B, T) bool, false behind the end; y+ and y- are equally long.
        alpha: weight of the odds ratio.

    Returns:
        The (B,) losses, 0 for a pair without codes, and the (B,) margins sum l(y+) - sum l(y-), detached.
    """
    nll = -(chosen * mask).sum(dim=1)
    margin = ((log_odds(chosen) - log_odds(rejected)) * mask).sum(dim=1)
    losses = nll - alpha * F.logsigmoid(margin)
    return losses.masked_fill(~mask.any(dim=1), 0.0), margin.detach()
