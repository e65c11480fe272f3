"""What every quantiser can do, whichever way it was fitted.

A quantiser knows content vectors and codes only, nothing of items. It is fitted by the function
that stands beside its class, never changes afterwards, and is kept as named arrays.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Codes:
    """What a quantiser makes of N content vectors.

    Attributes:
        codes: (N, D) int32, level by level the codeword nearest to what the levels before left; where
            codewords have prices, the one of least squared distance plus price.
        latents: (N, C) float32, what is quantised: the encoder's output, or the content vector
            itself where there is no encoder.
        errors: (N,) float32, squared distance of the decoded to the content vector.
    """

    codes: np.ndarray
    latents: np.ndarray
    errors: np.ndarray


class Quantizer(Protocol):
    """Content vectors to codes and back."""

    @property
    def width(self) -> int:
        """Width of the content vectors."""

    @property
    def codebooks(self) -> np.ndarray:
        """(D, K, C) float32."""

    def encode(self, x: np.ndarray) -> Codes:
        """Codes of (N, width) float32, in blocks: memory does not grow with N but for the result."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(N, width) float32 content vectors that (N, D) codes stand for."""

    def state(self) -> dict[str, np.ndarray]:
        """All that was learnt, by name."""
