"""`python -m tests.align.killed RUN OUT STEP OVERRIDES`: the stage `align`, killing itself after a step."""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from higr import stages
from higr.config import load_config


def main() -> None:
    run, out, last, overrides = (
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        int(sys.argv[3]),
        json.loads(sys.argv[4]),
    )
    torch.set_num_threads(1)

    def progress(label: str, step: int, total: int) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    stages.align(
        load_config("nano", overrides), run / "data", run / "tokens", run / "pretrained", out, progress
    )


if __name__ == "__main__":
    main()
