"""How evenly training engagement is spread over first codes.

The planner's first decision is a first code: where one code takes most of the engagement, that
decision says little, and errors of the rest hardly show in the loss. The paper does not report it.
"""

from dataclasses import dataclass

import numpy as np

from higr.tokenizer.groups import spread


@dataclass(frozen=True)
class Popularity:
    """Engagement by first code.

    Attributes:
        busiest: share of engagement under the busiest first code.
        gini: of engagement over all K first codes, unused ones included: 0 is an even spread, near
            1 all under one.
        perplexity: exp of the entropy of engagement over first codes, 1 to K.
    """

    busiest: float
    gini: float
    perplexity: float


def measure_popularity(first: np.ndarray, engagement: np.ndarray, codebook_size: int) -> Popularity | None:
    """None where there is no engagement.

    first: (N,) first codes. engagement: (N,) engaged events of the training period an item.
    """
    load = np.sort(np.bincount(first, engagement, minlength=codebook_size))
    total = load.sum()
    if not total:
        return None
    rank = np.arange(1, len(load) + 1)
    return Popularity(
        busiest=float(load[-1] / total),
        gini=float(2 * (rank * load).sum() / (len(load) * total) - (len(load) + 1) / len(load)),
        perplexity=spread(load),
    )
