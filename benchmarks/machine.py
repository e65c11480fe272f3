"""What a table was measured on."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch


def machine(threads: int) -> dict[str, Any]:
    """Processor, cores, threads of a process, and the versions that decide speed."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
