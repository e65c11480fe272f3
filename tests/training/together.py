"""`torchrun -m tests.training.together DIRECTORY`: small trainings in every layout, one after the other.

The first process writes DIRECTORY/NAME.json (curve and weights) and NAME/steps.jsonl.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from higr.training.fit import fit
from higr.training.shards import Shards
from tests.training import tiny

LAYOUTS = {
    "ddp": {"parallel": "ddp"},
    "ddp_in_parts": {"parallel": "ddp", "accumulation": 2},
    "fsdp": {"parallel": "fsdp"},
    "fsdp_in_parts": {"parallel": "fsdp", "accumulation": 2, "checkpoint_activations": True},
}


def main() -> None:
    directory = Path(sys.argv[1])
    torch.set_num_threads(1)
    for name, layout in LAYOUTS.items():
        model = tiny.model(dropout=0.0)
        curve = fit(
            model,
            Shards(directory / "shards"),
            tiny.examples(12, seed=1),
            tiny.codes(),
            tiny.settings(**layout),
            seed=0,
            directory=directory / name,
        )
        if dist.get_rank() == 0:
            weights = {name: value.tolist() for name, value in model.state_dict().items()}
            (directory / f"{name}.json").write_text(json.dumps({"curve": curve, "weights": weights}))


if __name__ == "__main__":
    main()
