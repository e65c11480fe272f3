"""What a frozen tokenizer says of some items."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Encoding:
    """Semantic IDs before the collision policy, and how well they fit.

    Attributes:
        item_ids: N ids, in the order of the table that was encoded.
        codes: (N, D) int32; items may share a row.
        latents: (N, C) float32, what the codes quantise.
        errors: (N,) float32, squared distance of the decoded to the content vector: how far an
            item is from what the tokenizer knows.
    """

    item_ids: tuple[str, ...]
    codes: np.ndarray
    latents: np.ndarray
    errors: np.ndarray
