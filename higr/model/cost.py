"""What a size costs before anything is trained: parameters, FLOPs, memory.

A model is built on the meta device, where tensors have shapes and no values, and a training step is
run on it: PyTorch's own counter adds up the FLOPs of its matrix products, and what autograd saves for
the way back is added up as it is saved. So the figures follow the code, not a formula beside it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from higr.config import ModelConfig
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary

FP32 = 4
ADAM = 2
"""Moments an optimiser like AdamW keeps of each parameter."""


@dataclass(frozen=True)
class Cost:
    """A training step of a model.

    Attributes:
        parameters: number of them.
        flops: of forward and backward; a multiplication and its addition are two.
        activations: bytes saved by the forward for the backward, fp32, no checkpointing.
    """

    parameters: int
    flops: int
    activations: int

    def memory(self, processes: int = 1) -> int:
        """Bytes on each of `processes` that share weights, gradients and moments (FSDP), all fp32."""
        return (2 + ADAM) * FP32 * self.parameters // processes + self.activations


def training_cost(config: ModelConfig, depth: int, codebook_size: int, batch: int, slate: int) -> Cost:
    """Of a step of `batch` slates of `slate` items on one device, with full histories and no profile."""
    saved: dict[int, Tensor] = {}  # by storage; kept, so that no number is used twice

    def keep(tensor: Tensor) -> Tensor:
        saved.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.device("meta"):
        model = HiGR(config, depth, codebook_size, ProfileVocabulary({}), "")
        contexts = ContextBatch(
            torch.zeros((batch, config.history_length), dtype=torch.int32),
            torch.zeros((batch, config.history_length), dtype=torch.int8),
            torch.zeros((batch, 0), dtype=torch.int32),
        )
        codes = torch.zeros((1, depth), dtype=torch.int64)
        slates = torch.zeros((batch, slate, depth), dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            with torch.autograd.graph.saved_tensors_hooks(keep, _same):
                logits = model(contexts, codes, slates)
            logits.sum().backward()
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        flops=counter.get_total_flops(),
        activations=sum(t.untyped_storage().nbytes() for key, t in saved.items() if key not in own),
    )


def _same(tensor: Any) -> Any:
    return tensor
