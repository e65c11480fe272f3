"""F-GRPO (arXiv 2605.12995) adapted to slates: what is in a slate and its order are rewarded apart."""

from collections.abc import Collection
from typing import Self

import numpy as np
import torch
from torch import Tensor

from higr.align.base import Objective, Shared, code_log_probs
from higr.align.losses import f_grpo_loss
from higr.align.rewards import SimulatedWatch, coverage, order_ndcg
from higr.align.rollouts import Rollouts, draw_orders, draw_slates
from higr.catalog import Catalog
from higr.config import AlignConfig
from higr.eligibility import Exclusions
from higr.model.higr import Context, HiGR
from higr.prefix_tree import PrefixTree
from higr.training.examples import Examples
from higr.training.targets import PADDING


class FGRPO(Objective):
    """Slates drawn from the model, and orders of the positive, each rewarded in its own phase.

    Only the chosen slate of `targets.items` is read, so (B, 1, M) will do. The model stays in eval mode:
    slates are drawn from the distribution without dropout, so that is the one to differentiate. Validation
    draws with the same noise every time, and its loss is minus the mean reward, as in training.

    Its figures: the mean reward of both phases, and the share of contexts whose slates differ in reward,
    which alone teach anything about slates.

    Args:
        catalog: what slates are drawn from; an item goes by its own codes, never by a stand-in's.
        slate_size: items of a drawn slate.
        disabled: items that are never drawn. All others may be, also what a user has seen: rewards are of
            logged slates, which hold such items, too.
        watch: rewards both phases with what the user would watch; None: coverage, and NDCG of the order.
    """

    def __init__(
        self,
        model: HiGR,
        catalog: Catalog,
        config: AlignConfig,
        slate_size: int,
        watch: SimulatedWatch | None,
        disabled: Collection[str] = (),
    ) -> None:
        super().__init__(model, catalog.code_tensor)
        self.count, self.order_weight, self.slate_size = config.rollouts, config.order_weight, slate_size
        tree = catalog.tree
        if catalog.stand_ins is not None or disabled:
            active = ~np.isin(catalog.item_ids, list(disabled))
            tree = PrefixTree(catalog.codes, catalog.codebook_size, active)
        self._everything = Shared(Exclusions(tree, [()], strikes=slate_size))
        self._watch = Shared(watch)
        self.model.eval()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        positive = batch.targets.items[:, 0]
        present = (positive != PADDING).any(dim=1)
        context = self.model.encode(batch.contexts, self.codes)
        drawn = self._draw(context, positive)
        rewards = self._rewards(drawn.items, positive, batch.targets.rows)  # (B, 2, G)
        losses = -rewards.mean(dim=2)  # (B, 2)
        if torch.is_grad_enabled():
            log_probs, mask = code_log_probs(self.model, context, drawn.items, self.codes, drawn.allowed)
            parts = zip(log_probs.chunk(2, dim=1), mask.chunk(2, dim=1), rewards.unbind(dim=1), strict=True)
            losses = torch.stack([f_grpo_loss(*part) for part in parts], dim=1)
        self._note(
            present,
            {
                "slate_reward": rewards[:, 0].mean(dim=1),
                "order_reward": rewards[:, 1].mean(dim=1),
                "differing": rewards[:, 0].amax(dim=1) > rewards[:, 0].amin(dim=1),
            },
        )
        slate, order = losses.unbind(dim=1)
        return ((slate + self.order_weight * order) * present).sum(), present.sum()

    def _draw(self, context: Context, positive: Tensor) -> Rollouts:
        """(B, 2 * G, M): slates, then orders."""
        noise = None if self.training else torch.Generator().manual_seed(0)
        rows = torch.zeros(self.count * len(positive), dtype=torch.int64)
        everything = self._everything.value.take(rows)
        kind = positive.device.type
        # In older versions of torch the loss would find weights in the cache that were cast without gradient.
        with torch.autocast(
            kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), cache_enabled=False
        ):
            slates = draw_slates(self.model, context, everything, self.codes, self.slate_size, noise)
            orders = draw_orders(self.model, context, positive, self.codes, self.count, noise)
        return slates.join(orders)

    def _rewards(self, items: Tensor, positive: Tensor, examples: Tensor) -> Tensor:
        """(B, 2, G): of the slates and of the orders."""
        slates, orders = items.chunk(2, dim=1)
        if self._watch.value is None:
            return torch.stack([coverage(slates, positive), order_ndcg(orders, positive)], dim=1)
        minutes = self._watch.value(items, examples, training=self.training)
        return torch.stack(minutes.chunk(2, dim=1), dim=1)
