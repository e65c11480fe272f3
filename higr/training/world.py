"""The processes that train together: this one alone, or those that torchrun started."""

import atexit
import os
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from higr.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Attributes:
    rank: number of this process, from 0.
    size: processes in all.
    device: where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls, parallel: str) -> "World":
        """Read torchrun's environment; more than one process meet here.

        Args:
            parallel: `TrainingConfig.parallel`.

        Raises:
            InputError: several processes that were not told what to share.
        """
        size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        if size > 1 and parallel == "none":
            raise InputError(f"{size} processes were started with training.parallel none; set ddp or fsdp")
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
            atexit.register(dist.destroy_process_group)
        return cls(rank, size, device)

    @property
    def first(self) -> bool:
        """The process that writes and speaks for all."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def share(self, value: T) -> T:
        """What the first process has, to all."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()
