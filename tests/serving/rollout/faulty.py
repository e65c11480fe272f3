"""Runs the command behind it (`python -m serving ...`) with a fault that a file names while it serves.

slow    four of ten requests take 1.2 seconds longer
erring  four of ten requests fail with an exception nobody expects
"""

import asyncio
import os
import random
import runpy
import sys
from pathlib import Path
from typing import Any

from serving.transformer import Transformer

FAULT = "HIGR_TEST_FAULT"
LATER, SHARE = 1.2, 0.4


def _install() -> None:
    made_well, file = Transformer.work, Path(os.environ[FAULT])

    async def work(self: Transformer, *arguments: Any) -> Any:
        fault = file.read_text().strip() if random.random() < SHARE else ""
        if fault == "erring":
            raise RuntimeError("the fault that was asked for")
        if fault == "slow":
            await asyncio.sleep(LATER)
        return await made_well(self, *arguments)

    Transformer.work = work


if __name__ == "__main__":
    _install()
    # As `python -m MODULE` would: this file, python, -m, MODULE, then what the module reads.
    module = sys.argv[3]
    sys.argv = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
