"""How a model is laid out over processes, and what its blocks do to save memory or time.

Everything here changes the module in place and leaves names of parameters as they are. A block is a
member of an outermost `nn.ModuleList`: the unit of activation checkpointing, compilation and FSDP.
"""

import functools
import inspect
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from higr.config import TrainingConfig
from higr.training.world import World


def prepare(module: nn.Module, settings: TrainingConfig, world: World) -> nn.Module:
    """What to call instead of `module`, whose parameters are then the ones to optimise."""
    for block in _blocks(module):
        if settings.checkpoint_activations:
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
        if settings.compile:
            block.compile()
    if world.size == 1:
        return module
    if settings.parallel == "fsdp":
        return _shard(module, world)
    return DistributedDataParallel(module)


def unsynchronised(replica: nn.Module, last: bool) -> Any:
    """Context of a backward pass whose gradients are exchanged only if it is the step's last."""
    if isinstance(replica, FSDPModule):
        replica.set_requires_gradient_sync(last)
    elif isinstance(replica, DistributedDataParallel) and not last:
        return replica.no_sync()
    return nullcontext()


def _shard(module: nn.Module, world: World) -> nn.Module:
    """FSDP2: blocks are gathered one at a time.

    Keys and values of the context are projected outside of the block that owns the matrices, by a
    method `project`: the innermost module that has one is gathered by itself.
    """
    # The views that attention returns are only read.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(world.device.type, (world.size,))
    projecting = [part for part in module.modules() if inspect.ismethod(getattr(part, "project", None))]
    alone = {id(part) for part in projecting if sum(inner in projecting for inner in part.modules()) == 1}
    blocks = {id(block) for block in _blocks(module)}
    for part in reversed(list(module.modules())):  # the inner before the outer
        if id(part) in alone | blocks or part is module:
            fully_shard(part, mesh=mesh)
        if id(part) in alone:
            register_fsdp_forward_method(part, "project")
    return module


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _blocks(child)
