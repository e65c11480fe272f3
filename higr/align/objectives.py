"""What alignment minimises, as modules that `higr.training.loop.train` can train.

An objective holds the model it trains. DPO holds a frozen copy beside it, F-GRPO the prefix tree and, where
users are simulated, their world; these are no weights: not trained, not saved, not copied with it.
"""

import copy
from abc import abstractmethod
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from higr.align.base import Objective, Shared, code_log_probs
from higr.align.f_grpo import FGRPO
from higr.align.losses import PairLosses, dpo_loss, orpo_length_averaged_loss, orpo_loss, simpo_loss
from higr.align.rewards import SimulatedWatch
from higr.catalog import Catalog
from higr.config import AlignConfig
from higr.data.simulator import World
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.training.examples import Examples

__all__ = ["DPO", "FGRPO", "ORPO", "Objective", "PairObjective", "SimPO", "build_objective", "pair_log_probs"]


class PairObjective(Objective):
    """Chosen against rejected, in one forward pass: their context is encoded once.

    Its figures: chosen and rejected (log-odds with ORPO, else rewards), margin, and the share of pairs won.
    """

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        log_probs, mask = pair_log_probs(self.model, batch, self.codes)
        found = self.losses(log_probs, mask, batch)
        present, margin = mask.any(dim=1), found.chosen - found.rejected
        figures = {"margin": margin, "chosen": found.chosen, "rejected": found.rejected, "won": margin > 0}
        self._note(present, figures)
        return found.losses.sum(), present.sum()

    @abstractmethod
    def losses(self, log_probs: Tensor, mask: Tensor, batch: Examples) -> PairLosses:
        """log_probs: (B, 2, T) of y+ and y-; mask: (B, T)."""


class ORPO(PairObjective):
    """Odds ratios; no second model. `length_averaged`: as published, else summed as in HiGR."""

    def __init__(self, model: HiGR, codes: Tensor, alpha: float, *, length_averaged: bool) -> None:
        super().__init__(model, codes)
        self.alpha, self.length_averaged = alpha, length_averaged

    def losses(self, log_probs: Tensor, mask: Tensor, batch: Examples) -> PairLosses:
        loss = orpo_length_averaged_loss if self.length_averaged else orpo_loss
        chosen, rejected = log_probs.unbind(dim=1)
        return loss(chosen, rejected, mask, self.alpha)


class SimPO(PairObjective):
    """Length-averaged rewards with a margin; no second model."""

    def __init__(self, model: HiGR, codes: Tensor, beta: float, margin: float) -> None:
        super().__init__(model, codes)
        self.beta, self.margin = beta, margin

    def losses(self, log_probs: Tensor, mask: Tensor, batch: Examples) -> PairLosses:
        chosen, rejected = log_probs.unbind(dim=1)
        return simpo_loss(chosen, rejected, mask, self.beta, self.margin)


class DPO(PairObjective):
    """Rewards against the model as it was when this was made, of which it keeps a frozen copy.

    A training that resumes makes the copy anew, from the weights it started with. With FSDP every process
    holds the whole copy.
    """

    def __init__(self, model: HiGR, codes: Tensor, beta: float) -> None:
        super().__init__(model, codes)
        self.beta = beta
        self._reference = Shared(copy.deepcopy(model).eval().requires_grad_(False))

    @property
    def models(self) -> tuple[HiGR, ...]:
        return self.model, self._reference.value

    def losses(self, log_probs: Tensor, mask: Tensor, batch: Examples) -> PairLosses:
        reference = self._reference.value.to(log_probs.device)
        with torch.no_grad():
            fixed, _ = pair_log_probs(reference, batch, self.codes)
        (chosen, rejected), (as_chosen, as_rejected) = log_probs.unbind(dim=1), fixed.unbind(dim=1)
        return dpo_loss(chosen, rejected, as_chosen, as_rejected, mask, self.beta)


def build_objective(
    model: HiGR,
    catalog: Catalog,
    config: AlignConfig,
    *,
    slate_size: int | None = None,
    disabled: Collection[str] = (),
    world: World | None = None,
    users: Sequence[str] = (),
    held_out_users: Sequence[str] = (),
) -> Objective:
    """The objective that the configuration names, around a model that it does not copy.

    Args:
        slate_size: f_grpo: items of a drawn slate; None: as many as the model can plan.
        disabled: f_grpo: items of the catalogue that are never drawn.
        world: f_grpo with `reward: simulator`: what rewards slates.
        users, held_out_users: the user of every training and of every validation example, likewise.

    Raises:
        InputError: slates longer than the model can plan; the simulator's reward without a world.
    """
    codes = catalog.code_tensor
    if config.objective == "dpo":
        return DPO(model, codes, config.dpo_beta)
    if config.objective == "simpo":
        return SimPO(model, codes, config.simpo_beta, config.simpo_margin)
    if config.objective != "f_grpo":
        averaged = config.objective == "orpo_length_averaged"
        return ORPO(model, codes, config.alpha, length_averaged=averaged)
    longest = model.config.max_slate_size
    if slate_size is not None and not 1 <= slate_size <= longest:
        raise InputError(f"f_grpo: slate size {slate_size}: this model plans 1 to {longest} items")
    watch = None
    if config.reward == "simulator":
        if world is None:
            raise InputError(
                "align.reward is simulator, but the data have no simulated world; set align.reward to logged"
            )
        watch = SimulatedWatch(world, catalog, users, held_out_users)
    return FGRPO(model, catalog, config, slate_size or longest, watch, disabled)


def pair_log_probs(model: HiGR, batch: Examples, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the codes of both slates of every pair.

    Returns:
        (B, 2, M * D) float32, and the mask (B, M * D) of those where both slates have an item.
    """
    context = model.encode(batch.contexts, codes)
    log_probs, mask = code_log_probs(model, context, batch.targets.items, codes)
    return log_probs, mask.all(dim=1)
