"""What the sizes of the model cost: parameters, FLOPs and memory, counted on the meta device.

    python -m benchmarks.sizes

Takes a few seconds and no weights: nothing is computed.
"""

import argparse

from rich.console import Console
from rich.table import Table

from higr.config import SIZES, ModelConfig
from higr.model.cost import training_cost

DEPTH, CODEBOOK, HISTORY, SLATE, BATCH, PROCESSES = 3, 256, 50, 10, 32, 8


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    table = Table(
        "size",
        "parameters",
        "GFLOP a slate, forward and backward",
        "weights, fp32",
        f"training, batch {BATCH}, one device",
        f"training, batch {BATCH} each, {PROCESSES} devices",
        title=f"D {DEPTH}, K {CODEBOOK}, history {HISTORY}, slate {SLATE}",
    )
    for size in SIZES:
        config = ModelConfig(size=size, history_length=HISTORY)
        cost = training_cost(config, DEPTH, CODEBOOK, BATCH, SLATE)
        table.add_row(
            size,
            f"{cost.parameters:,}",
            f"{cost.flops / BATCH / 1e9:.2f}",
            f"{cost.parameters * 4 / 1e9:.2f} GB",
            f"{cost.memory() / 1e9:.1f} GB",
            f"{cost.memory(PROCESSES) / 1e9:.1f} GB",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
