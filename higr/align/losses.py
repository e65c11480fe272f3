"""What an aligned model is trained for, as functions of the log-probabilities of the codes of slates.

    orpo                    arXiv 2512.24787, section 3.3: log-odds summed over the codes
    orpo_length_averaged    arXiv 2403.07691: the odds of a slate's mean log-probability
    dpo                     arXiv 2305.18290
    simpo                   arXiv 2405.14734
    f_grpo                  arXiv 2605.12995, one phase of it

Everything is computed in float32 at least, whatever comes in. y+ and y- of a pair are equally long
(`higr.align.pairs`), so one mask serves both: by sums the longer of two slates would lose for its
length alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CLOSEST_TO_ONE = 1e-6
"""Probabilities are kept this far below 1, where their odds are still finite. Not reported by the paper."""


@dataclass(frozen=True)
class PairLosses:
    """Attributes:
    losses: (B,), 0 for a pair without codes.
    chosen: (B,) what the objective compares of y+, detached: log-odds (ORPO) or reward (DPO, SimPO).
    rejected: (B,) the same of y-.
    """

    losses: Tensor
    chosen: Tensor
    rejected: Tensor

    @classmethod
    def of(cls, losses: Tensor, chosen: Tensor, rejected: Tensor, mask: Tensor) -> "PairLosses":
        """Mask: (B, T), see `orpo_loss`."""
        return cls(losses.masked_fill(~mask.any(dim=1), 0.0), chosen.detach(), rejected.detach())


def log_odds(log_probs: Tensor) -> Tensor:
    """log(p / (1 - p)) from log p, elementwise, in float32 or float64.

    log(1 - p) as log(-expm1(log p)) above p = 1/2 and as log1p(-p) below, each exact where it is used.
    """
    log_probs = _precise(log_probs).clamp(max=-CLOSEST_TO_ONE)
    large = log_probs > -math.log(2)
    # The branch that is not taken must have finite derivatives too.
    above = torch.log(-torch.expm1(log_probs.masked_fill(~large, -1.0)))
    below = torch.log1p(-torch.exp(log_probs.masked_fill(large, -1.0)))
    return log_probs - torch.where(large, above, below)


def orpo_loss(chosen: Tensor, rejected: Tensor, mask: Tensor, alpha: float) -> PairLosses:
    """-log p(y+|x) - alpha * log sigmoid(sum_t l(y+_t) - sum_t l(y-_t)), l the log-odds of a code.

    The sums run over all M * D codes, as HiGR has it.

    Args:
        chosen: (B, T) log-probabilities of the codes of y+.
        rejected: (B, T) of y-.
        mask: (B, T) bool, false behind the end.
        alpha: weight of the odds ratio.
    """
    better, worse = _sum(log_odds(chosen), mask), _sum(log_odds(rejected), mask)
    losses = -_sum(_precise(chosen), mask) - alpha * F.logsigmoid(better - worse)
    return PairLosses.of(losses, better, worse, mask)


def orpo_length_averaged_loss(chosen: Tensor, rejected: Tensor, mask: Tensor, alpha: float) -> PairLosses:
    """-lp(y+) - alpha * log sigmoid(l(y+) - l(y-)), lp the mean log-probability of the codes of a slate and
    l the log-odds of exp(lp): ORPO as published (equations 4 to 7).

    Args:
        chosen, rejected, mask, alpha: as of `orpo_loss`.
    """
    likely, unlikely = _mean(chosen, mask), _mean(rejected, mask)
    better, worse = log_odds(likely), log_odds(unlikely)
    return PairLosses.of(-likely - alpha * F.logsigmoid(better - worse), better, worse, mask)


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    mask: Tensor,
    beta: float,
) -> PairLosses:
    """-log sigmoid(r(y+) - r(y-)), r(y) = beta * (log p(y) - log p_reference(y)) (equation 7).

    Args:
        chosen, rejected, mask: as of `orpo_loss`.
        reference_chosen, reference_rejected: (B, T) log-probabilities under the frozen reference.
        beta: weight of the distance to the reference.
    """
    better = beta * _sum(_precise(chosen) - _precise(reference_chosen), mask)
    worse = beta * _sum(_precise(rejected) - _precise(reference_rejected), mask)
    return PairLosses.of(-F.logsigmoid(better - worse), better, worse, mask)


def simpo_loss(chosen: Tensor, rejected: Tensor, mask: Tensor, beta: float, margin: float) -> PairLosses:
    """-log sigmoid(r(y+) - r(y-) - gamma), r(y) = beta * the mean log-probability of a code (equation 6).

    Args:
        chosen, rejected, mask: as of `orpo_loss`.
        beta: scale of the reward.
        margin: gamma, by how much y+ has to win.
    """
    better, worse = beta * _mean(chosen, mask), beta * _mean(rejected, mask)
    return PairLosses.of(-F.logsigmoid(better - worse - margin), better, worse, mask)


def group_advantages(rewards: Tensor) -> Tensor:
    """(B, G) rewards of the rollouts of a context -> A = R - their mean; not divided by their deviation."""
    return rewards - rewards.mean(dim=1, keepdim=True)


def f_grpo_loss(log_probs: Tensor, mask: Tensor, rewards: Tensor) -> Tensor:
    """One phase: the value is -mean R, the gradient that of -mean_g A_g * lp_g.

    lp is the mean log-probability of a rollout's codes: rollouts of one context are equally long, so this
    weighs contexts alike and changes no direction. The value is what training is for, so that a
    falling loss means what it says; A * lp itself is 0 on average whatever the model does.

    Args:
        log_probs: (B, G, T) of the codes of each rollout, under the distribution it was drawn from.
        mask: (B, G, T) bool, false behind the end.
        rewards: (B, G) of the phase alone.

    Returns:
        (B,).
    """
    rewards = _precise(rewards)
    surrogate = -(group_advantages(rewards) * _mean(log_probs, mask)).mean(dim=1)
    return surrogate - surrogate.detach() - rewards.mean(dim=1)


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _sum(values: Tensor, mask: Tensor) -> Tensor:
    return values.masked_fill(~mask, 0.0).sum(dim=-1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return _sum(_precise(values), mask) / mask.sum(dim=-1).clamp(min=1)
