"""`python -m tests.training.killed DIRECTORY [STEP]`: a training that kills itself after a step, or ends.

After STEP it sends itself SIGKILL, which no code can catch. Under torchrun it trains with FSDP, and without
dropout, whose draws follow the parts of a batch.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from higr.training.fit import fit
from tests.training import tiny


def main() -> None:
    directory = Path(sys.argv[1])
    last = int(sys.argv[2]) if len(sys.argv) > 2 else None
    torch.set_num_threads(1)
    together = "WORLD_SIZE" in os.environ
    model = tiny.model(dropout=0.0 if together else 0.1)

    def progress(label: str, step: int, total: int) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    fit(
        model,
        tiny.examples(50),
        tiny.examples(12, seed=1),
        tiny.codes(),
        tiny.settings(save_every_steps=2, parallel="fsdp" if together else "none"),
        seed=0,
        directory=directory,
        progress=progress,
    )


if __name__ == "__main__":
    main()
