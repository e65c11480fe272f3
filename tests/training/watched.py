"""`[torchrun -m] tests.training.watched DIRECTORY PARALLEL`: a training that its watch ends.

The first process writes DIRECTORY/result.json: the curve, and the sum of the weights that came back.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from higr.model.higr import HiGR
from higr.training.batches import InMemory
from higr.training.examples import Examples
from higr.training.loop import train
from higr.training.watch import Look
from higr.training.world import World
from tests.training import tiny


class Slates(nn.Module):
    """Next-code cross-entropy."""

    codes: Tensor

    def __init__(self, model: HiGR) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("codes", tiny.codes(), persistent=False)

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        return self.model.losses(batch.contexts, batch.targets.items, self.codes)


class Moved:
    """How far the weights are from where they began; the fifth look finds fault."""

    checks = 4

    def __init__(self, model: HiGR) -> None:
        self.model, self.looks = model, 0

    def start(self) -> Look:
        self.first = total(self.model)
        return Look({"moved": 0.0})

    def look(self) -> Look:
        self.looks += 1
        moved = abs(total(self.model) - self.first)
        return Look({"moved": moved}, "the fifth look" if self.looks == 5 else None)


def total(model: HiGR) -> float:
    return sum(parameter.detach().double().abs().sum().item() for parameter in model.parameters())


def main() -> None:
    directory, parallel = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    model = tiny.model(dropout=0.0)
    curve = train(
        Slates(model),
        InMemory(tiny.examples(50), 4),
        InMemory(tiny.examples(12, seed=1), 4),
        tiny.settings(parallel=parallel),
        seed=0,
        label="watched",
        directory=directory,
        watch=Moved(model),
    )
    if World.join(parallel).first:
        (directory / "result.json").write_text(json.dumps({"curve": curve, "weights": total(model)}))


if __name__ == "__main__":
    main()
