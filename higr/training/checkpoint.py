"""Checkpoints of a training: all that its next step depends on, in one directory that is whole or absent.

    checkpoints/
      step-00000200/       DCP files, every process its part, and position.json
      .writing/            one that is being written, or was when the process died

The learning rate and all random numbers are functions of the position (epoch and batch), so tensors
and position are everything. The last checkpoint goes only when the next one is in its place. DCP's
own files are pickles: resume from your own checkpoints alone; bundles hold none.
"""

import json
import pickle
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from higr.config import Section, TrainingConfig
from higr.errors import InputError
from higr.files import read_json, write_json
from higr.training.batches import Source
from higr.training.fingerprint import fingerprint
from higr.training.world import World

SCHEMA_VERSION = 1
POSITION = "position.json"


FREE_TO_CHANGE = {
    "parallel",
    "accumulation",
    "compile",
    "checkpoint_activations",
    "log_every",
    "save_every_steps",
}
"""Settings that a resumed training may have otherwise: losses stay the same but for rounding, and, when
a batch is parted in another way, for what dropout and F-GRPO draw and for what
balances experts (`higr.peers.moe`)."""


def identity(
    objective: nn.Module,
    data: Source,
    held_out: Source | None,
    settings: TrainingConfig,
    *,
    seed: int,
    label: str,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """What a checkpoint shares with a training that may resume from it, by name.

    Args:
        extra: what decides losses and stands nowhere else; see `model_identity`.
    """
    weights = objective.state_dict()
    return {
        **{f"shape of {name}": list(value.shape) for name, value in weights.items()},
        **settings.model_dump(exclude=FREE_TO_CHANGE),
        "seed": seed,
        "label": label,
        **extra,
        "data": data.fingerprint,
        "held_out": None if held_out is None else held_out.fingerprint,
        "weights at the start": fingerprint(weights.values()),
    }


def model_identity(model: Any, codes: Tensor) -> dict[str, Any]:
    """What decides a slate model's losses and is no tensor of its state.

    Args:
        model: its `config`, `experts` and `tokenizer_id` count where it has them.
        codes: (N, D), the catalogue's.
    """
    sections = {"model": getattr(model, "config", None), "experts": getattr(model, "experts", None)}
    return {
        **named({name: section for name, section in sections.items() if isinstance(section, Section)}),
        "tokenizer_id": getattr(model, "tokenizer_id", None),
        "codes": fingerprint([codes]),
    }


def named(sections: Mapping[str, Section]) -> dict[str, Any]:
    """Every field of every section, as `section.field`."""
    return {
        f"{name}.{field}": value
        for name, section in sections.items()
        for field, value in section.model_dump(mode="json").items()
    }


class Checkpoints:
    """The checkpoints of one training.

    Args:
        directory: where they lie; all processes must see the same files.
        identity: see `identity`.
    """

    def __init__(self, directory: Path, world: World, identity: Mapping[str, Any]) -> None:
        self.directory, self.world = directory, world
        self.identity = json.loads(json.dumps(identity))  # as it will be read back

    def latest(self) -> Path | None:
        """The last whole checkpoint."""
        return max(self.directory.glob("step-*"), default=None)

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        best: dict[str, Any] | None,
        step: int,
        position: Mapping[str, Any],
    ) -> None:
        """Write aside, rename, and only then forget the one before. All processes call it."""
        aside, final = self.directory / ".writing", self.directory / f"step-{step:08d}"
        if self.world.first:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
        self.world.wait()
        tensors = _tensors(model, optimizer, best)
        with _quiet():
            save(tensors, checkpoint_id=str(aside), no_dist=self.world.size == 1)
        if self.world.first:
            document = {"schema_version": SCHEMA_VERSION, "identity": self.identity, **position}
            write_json(aside / POSITION, {**document, "best": best is not None})
            if final.exists():  # the same step again, after a resume
                shutil.rmtree(final)
            aside.rename(final)
            for old in self.directory.glob("step-*"):
                if old != final:
                    shutil.rmtree(old)
        self.world.wait()

    def load(
        self, path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, best: dict[str, Any]
    ) -> dict[str, Any]:
        """Restore model, optimiser and, if it has one, the best weights, in place. All processes call it.

        Returns:
            The position that was saved; "best" in it says whether `best` was filled.

        Raises:
            InputError: unreadable, or of a training with another configuration, data or model.
        """
        document = read_json(path / POSITION)
        if document["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {document['schema_version']}, this code reads {SCHEMA_VERSION}; "
                f"remove {self.directory} to start again"
            )
        self._check(path, document["identity"])
        tensors = _tensors(model, optimizer, best if document["best"] else None)
        try:
            with _quiet():
                load(tensors, checkpoint_id=str(path), no_dist=self.world.size == 1)
        except (
            CheckpointException,
            pickle.UnpicklingError,
            OSError,
            RuntimeError,
            ValueError,
            EOFError,
        ) as error:
            raise InputError(
                f"checkpoint {path} cannot be read ({str(error).strip().splitlines()[-1]}); "
                f"remove {self.directory} to start again"
            ) from None
        set_state_dict(
            model,
            optimizer,
            model_state_dict=tensors["model"],
            optim_state_dict=tensors["optimizer"],
        )
        return document

    def _check(self, path: Path, found: Mapping[str, Any]) -> None:
        for name in (*self.identity, *(found.keys() - self.identity.keys())):
            ours, theirs = self.identity.get(name), found.get(name)
            if ours != theirs:
                raise InputError(
                    f"checkpoint {path} has {name} {theirs}, this training {ours}; "
                    f"use what it was started with, or remove {self.directory} to start again"
                )


@contextmanager
def _quiet() -> Iterator[None]:
    """DCP warns that one process saves alone, which is meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"torch\.distributed is disabled")
        yield


def _tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, best: dict[str, Any] | None
) -> dict[str, Any]:
    weights, state = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": state, "best": best or {}}
