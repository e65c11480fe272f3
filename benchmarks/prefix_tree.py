"""What the prefix tree costs: to build, to hold, and in each decode step of a 25M-class model.

    python -m benchmarks.prefix_tree [--json results.json]

A decode step is a 1/(M D) of a whole slate on one core. Its tree work is all that an unconstrained
beam search would not do: looking up children and their codes, eligibility, masking, following the
chosen children, picking the item, striking it out, and a share of reading the request's exclusions.
It is given twice: alone, one step after another with random logits for a model, and inside a real
decode, where the model's weights have driven code and tables out of the caches before each step.
The mask is the part of the latter that says what may be chosen: children, eligibility, masking.
Catalogues are uniform random codes.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.beam import StepFunction
from higr.decode.slate import ItemStep
from higr.eligibility import Exclusions, pick_items
from higr.files import write_json
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary
from higr.model.layers import Caches
from higr.prefix_tree import PrefixTree

MODEL = ModelConfig(
    width=512,
    heads=8,
    encoder_layers=4,
    planner_layers=4,
    generator_layers=1,
    feedforward=1408,
    history_length=50,
    max_slate_size=10,
)
SLATE = 10
BEAM = 10
EXCLUDED = 100
WARM_UP = 3
SLATES = 15


@dataclass(frozen=True)
class Case:
    """A catalogue: N items of D codes below K."""

    items: int
    codebook_size: int
    depth: int


CASES = (
    Case(100_000, 256, 3),
    Case(1_000_000, 256, 3),
    Case(10_000_000, 256, 3),
    Case(10_000_000, 8192, 3),
    Case(10_000_000, 1024, 4),
)


@dataclass(frozen=True)
class TreeCost:
    """Attributes:
    layouts: form of the edges at each depth.
    build_s: seconds to build the tree from sorted codes.
    tree_mb: megabytes of its tensors.
    peak_mb: peak resident memory of a process that holds the codes and builds the tree.
    alone_us: tree work of a decode step by itself, median microseconds.
    inside_us: the same inside a real decode.
    mask_us: of that, the mask.
    step_us: a whole decode step.
    share_alone, share_inside, share_mask: of step_us.
    """

    items: int
    codebook_size: int
    depth: int
    layouts: list[str]
    build_s: float
    tree_mb: float
    peak_mb: float
    alone_us: float
    inside_us: float
    mask_us: float
    step_us: float
    share_alone: float
    share_inside: float
    share_mask: float


def measure(case: Case, seed: int = 0) -> TreeCost:
    """All figures of one catalogue. Each is taken in a fresh process, so no case sees another's memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        build_s, tree_mb, peak_mb, layouts = process.submit(build_cost, case, seed).result()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        alone_us, inside_us, mask_us, step_us = process.submit(step_cost, case, seed).result()
    return TreeCost(
        **asdict(case),
        layouts=layouts,
        build_s=build_s,
        tree_mb=tree_mb,
        peak_mb=peak_mb,
        alone_us=alone_us,
        inside_us=inside_us,
        mask_us=mask_us,
        step_us=step_us,
        share_alone=alone_us / step_us,
        share_inside=inside_us / step_us,
        share_mask=mask_us / step_us,
    )


def random_codes(case: Case, seed: int) -> np.ndarray:
    """(N, D) int32 distinct rows in lexicographic order."""
    rng = np.random.default_rng(seed)
    total = case.codebook_size**case.depth
    if total < 4 * case.items:
        keys = np.sort(rng.permutation(total)[: case.items])
    else:
        keys = np.unique(rng.integers(0, total, case.items + case.items // 8))
        keys = np.sort(rng.choice(keys, case.items, replace=False))
    codes = np.empty((case.items, case.depth), np.int32)
    for level in reversed(range(case.depth)):
        keys, codes[:, level] = np.divmod(keys, case.codebook_size)
    return codes


def build_cost(case: Case, seed: int = 0) -> tuple[float, float, float, list[str]]:
    """(seconds, megabytes of the tree, peak megabytes of this process, layouts)."""
    codes = random_codes(case, seed)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making the codes
    started = time.perf_counter()
    tree = PrefixTree(codes, case.codebook_size)
    seconds = time.perf_counter() - started
    return seconds, tree.nbytes / 1e6, _peak_mb(), tree.layouts


def step_cost(case: Case, seed: int = 0) -> list[float]:
    """[tree work alone, tree work inside, its mask, all] of a decode step: median µs over slates."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    # Decoding looks at positions and codes alone: ten million ids would only take memory.
    catalog = Catalog((), random_codes(case, seed), case.codebook_size)
    tree = catalog.tree
    model = HiGR(MODEL, case.depth, case.codebook_size, ProfileVocabulary({}), "").eval()
    figures = []
    for _ in range(WARM_UP + SLATES):
        excluded = [rng.choice(case.items, EXCLUDED, replace=False).tolist()]
        alone, _, _ = timed_slate(tree, excluded, lambda *_: random_steps(case))
        started = time.perf_counter()
        steps = model_steps(model, catalog, random_history(rng, case))
        inside, mask, _ = timed_slate(tree, excluded, steps)
        figures.append((alone, inside, mask, time.perf_counter() - started))
    return (np.median(figures[WARM_UP:], axis=0) / (SLATE * case.depth) * 1e6).tolist()


PositionSteps = Callable[[int, Tensor], StepFunction]
"""(position, slots chosen so far (position,)) -> the model's steps for that position."""


def random_steps(case: Case) -> StepFunction:
    """A model that takes no time worth the name."""
    logits = [torch.randn(1, BEAM if level else 1, case.codebook_size) for level in range(case.depth)]
    return lambda level, parents, codes: logits[level][:, : None if codes is None else codes.shape[1]]


def model_steps(model: HiGR, catalog: Catalog, batch: ContextBatch) -> PositionSteps:
    """The model as `decode_slates` runs it."""
    context = model.encode(batch, catalog.code_tensor)
    caches: Caches | None = None

    def start(position: int, chosen: Tensor) -> StepFunction:
        nonlocal caches
        item = model.embedding.items(catalog.code_tensor[chosen[-1:]]) if position else None
        plan, caches = model.plan_step(context, position, item, caches)
        return ItemStep(model, context, position, plan)

    return start


@torch.inference_mode()
def timed_slate(
    tree: PrefixTree, excluded: list[list[int]], start: PositionSteps
) -> tuple[float, float, Tensor]:
    """`decode_slates` for one context, with a clock around the tree.

    Seconds of tree work, seconds of its mask, the items.
    """
    clock, mask = _Clock(), _Clock()
    with clock:
        eligibility = Exclusions(tree, excluded, SLATE)
    chosen = torch.zeros(0, dtype=torch.int64)
    for position in range(SLATE):
        step = start(position, chosen)
        nodes, scores = torch.zeros((1, 1), dtype=torch.int32), torch.zeros((1, 1))
        parents: Tensor | None = None
        codes: Tensor | None = None
        for level in range(tree.depth):
            gained = step(level, parents, codes).log_softmax(dim=-1)
            with mask:
                children = tree.children(level, nodes)
                dead = eligibility.gate(level).dead(nodes, children)
            with clock:
                if children.codes is not None:
                    gained = gained.gather(2, children.codes)
            candidates = scores.unsqueeze(2) + gained
            with mask:
                candidates.masked_fill_(dead, -torch.inf)
            columns = candidates.shape[2]
            scores, best = candidates.flatten(1).topk(min(BEAM, candidates[0].numel()), dim=1)
            parents = best // columns
            with clock:
                nodes = children.nodes.flatten(1).gather(1, best)
                codes = None if children.codes is None else children.codes.flatten(1).gather(1, best)
            codes = best % columns if codes is None else codes
        with clock:
            slots = pick_items(eligibility, nodes[:, 0].long())
            chosen = torch.cat([chosen, tree.catalog_positions(slots)])
            eligibility.strike(slots)
    return clock.seconds + mask.seconds, mask.seconds, chosen


def random_history(rng: np.random.Generator, case: Case) -> ContextBatch:
    """One context with a full history of random items."""
    length = MODEL.history_length
    return ContextBatch(
        items=torch.from_numpy(rng.integers(0, case.items, (1, length))).int(),
        feedback=torch.ones((1, length), dtype=torch.int8),
        profile=torch.zeros((1, 0), dtype=torch.int32),
    )


class _Clock:
    """Adds up the time spent inside `with`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


def _peak_mb() -> float:
    """Peak resident memory since it was last forgotten, in megabytes."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    table = Table(
        "items", "K", "D", "edges", "build", "tree", "peak", "alone", "inside", "mask", "decode step"
    )
    costs = [measure(case, arguments.seed) for case in CASES]
    for cost in costs:
        table.add_row(
            f"{cost.items:,}",
            str(cost.codebook_size),
            str(cost.depth),
            " ".join(cost.layouts),
            f"{cost.build_s:.2f} s",
            f"{cost.tree_mb:.0f} MB",
            f"{cost.peak_mb:.0f} MB",
            f"{cost.alone_us:.0f} µs {cost.share_alone:.2%}",
            f"{cost.inside_us:.0f} µs {cost.share_inside:.2%}",
            f"{cost.mask_us:.0f} µs {cost.share_mask:.2%}",
            f"{cost.step_us:.0f} µs",
        )
    if arguments.json:
        write_json(arguments.json, {"prefix_tree": [asdict(cost) for cost in costs]})
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
