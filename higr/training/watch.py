"""What looks at the weights of a training now and then, and may end it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Look:
    """Attributes:
    figures: by name, what was measured.
    breach: what was breached, the value, the limit and what to do, in one line; None: nothing.
    """

    figures: Mapping[str, float]
    breach: str | None = None


class Watch(Protocol):
    """Measures the objective that was given to `higr.training.loop.train`, which holds the weights to judge.

    What it finds depends on these weights and on those of `start` alone, so that a training that was killed
    goes on exactly.
    """

    @property
    def checks(self) -> int:
        """How often an epoch it looks."""

    def start(self) -> Look:
        """Called once, with the weights the training starts from, also where it goes on from a checkpoint."""

    def look(self) -> Look:
        """The weights as they are now, against the start."""
