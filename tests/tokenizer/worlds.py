"""Content vectors whose kinds are known."""

import numpy as np

from higr.tokenizer.content import normalise


def clusters(count: int = 256, kinds: int = 8, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """(N, 24) content vectors around `kinds` centres, and the kind of each."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(kinds, size=count)
    rows = rng.normal(size=(kinds, 24))[kind] + 0.3 * rng.normal(size=(count, 24))
    return normalise(rows), [str(k) for k in kind]
