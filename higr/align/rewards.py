"""What a drawn slate is worth (F-GRPO, arXiv 2605.12995, adapted to slates).

The logged rewards are two: how much of what the user engaged with is there, whatever the order, and how
well the order agrees with the feedback. The simulated one is what the user would watch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.data.simulator import World
from higr.errors import InputError
from higr.training.targets import PADDING


def coverage(items: Tensor, positive: Tensor) -> Tensor:
    """Recall: share of the engaged items that are in a slate, in any order.

    Rollouts of one context are equally long, so F1 would differ from it by a factor of the context.

    Args:
        items: (B, G, M) catalogue positions, PADDING where there is none.
        positive: (B, L) distinct engaged items, PADDING behind the end.

    Returns:
        (B, G) in 0 .. 1; 0 for a context without engaged items.
    """
    wanted = positive != PADDING  # (B, L)
    found = (items[..., None] == positive[:, None, None]).any(dim=2) & wanted[:, None]  # (B, G, L)
    return found.sum(dim=2) / wanted.sum(dim=1, keepdim=True).clamp(min=1)


def order_ndcg(items: Tensor, positive: Tensor) -> Tensor:
    """DCG / ideal DCG; the gain of the positive's r-th of n items is n + 1 - r, of any other item 0.

    Gains are not reported by the paper; these depend on the order of the feedback alone.

    Args:
        items, positive: as of `coverage`; the positive is best first.

    Returns:
        (B, G) in 0 .. 1; 0 for a context without engaged items.
    """
    wanted = positive != PADDING
    gain = (wanted.flip(1).cumsum(dim=1).flip(1) * wanted).float()  # (B, L): n, n - 1, .. 1, 0, ..
    gains = ((items[..., None] == positive[:, None, None]) * gain[:, None, None]).sum(dim=3)  # (B, G, M)
    ideal = gain @ _discount(gain.shape[1], gain.device)[:, None]  # (B, 1)
    return gains @ _discount(items.shape[2], items.device) / ideal.clamp(min=1)


class SimulatedWatch:
    """Minutes that each example's user is expected to watch of a slate: `World.expected_watch`.

    Args:
        users: the user of every training example.
        held_out: of every validation example.

    Raises:
        InputError: a user or an item of the catalogue is not of this world.
    """

    def __init__(
        self, world: World, catalog: Catalog, users: Sequence[str], held_out: Sequence[str] = ()
    ) -> None:
        self.world = world
        self._items = np.append(world.item_rows(catalog.item_ids), -1)  # PADDING is the last
        self._users = {True: world.user_rows(users), False: world.user_rows(held_out)}

    def __call__(self, items: Tensor, examples: Tensor, *, training: bool) -> Tensor:
        """Args:
            items: (B, G, M) catalogue positions, PADDING behind the end.
            examples: (B,) numbers of the examples; below 0 in rows that only fill up a batch.
            training: whether they are training examples.

        Returns:
            (B, G) float32; anything where a row only fills up.

        Raises:
            InputError: an example without a user.
        """
        users, numbers = self._users[training], np.maximum(examples.cpu().numpy(), 0)
        if len(numbers) and numbers.max() >= len(users):
            raise InputError(
                f"{'training' if training else 'validation'} example {numbers.max()} has no user: "
                f"{len(users)} users are known; give build_objective one user an example"
            )
        contexts, groups, size = items.shape
        slates = self._items[items.cpu().numpy()].reshape(-1, size)
        seconds = self.world.expected_seconds(np.repeat(users[numbers], groups), slates)
        return torch.from_numpy(seconds / 60).float().reshape(contexts, groups).to(items.device)


def _discount(positions: int, device: torch.device) -> Tensor:
    return 1 / torch.log2(torch.arange(2, positions + 2, device=device))
