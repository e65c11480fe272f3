"""`torchrun -m tests.align.together DIRECTORY`: small alignments by two processes, one after the other.

The first process writes DIRECTORY/NAME.pt, the weights.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from higr.align.objectives import build_objective
from higr.config import AlignConfig, TrainingConfig
from higr.training.batches import InMemory
from higr.training.loop import train
from tests.align.small import catalog, model, pairs

LAYOUTS = (("orpo", "fsdp"), ("dpo", "fsdp"), ("simpo", "ddp"), ("f_grpo", "ddp"))


def aligned(objective: str, parallel: str) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Weights and the curve; a generator of its own for every position, so that some have no gradient."""
    module = build_objective(
        model(shared_generator=False), catalog(), AlignConfig.model_validate({"objective": objective})
    )
    settings = TrainingConfig.model_validate(
        {"epochs": 2, "batch_size": 8, "shards": 4, "learning_rate": 0.003, "parallel": parallel}
    )
    data, held_out = InMemory(pairs(36), 4), InMemory(pairs(8, seed=5), 4)
    curve = train(module, data, held_out, settings, seed=0, label="align")
    return module.state_dict(), curve


def main() -> None:
    torch.set_num_threads(1)
    for objective, parallel in LAYOUTS:
        weights, curve = aligned(objective, parallel)
        if dist.get_rank() == 0:
            torch.save({"weights": weights, "curve": curve}, Path(sys.argv[1]) / f"{objective}.pt")


if __name__ == "__main__":
    main()
