"""The one training loop, for one process or many: batches, AdamW, clipping, early stopping, resume.

It knows neither model nor loss: an objective is a module that turns a batch of examples into the sum
of its losses and the number of things predicted. A step's gradient is that of the sum over the whole
batch divided by the whole number, so it is the same over one process or many, in one part or many, where
the objective is a sum over examples; what balances experts (`higr.peers.moe`) and
what F-GRPO draws (`higr.align.f_grpo`) are not.

An objective may have more to tell than its loss: a method `take()` that gives figures by name and forgets
them. It is asked after every step and every validation; of several processes the first is asked.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.tensor import DTensor

from higr.config import TrainingConfig
from higr.errors import HigrError, InputError
from higr.files import write_json
from higr.progress import Progress, no_progress
from higr.training.batches import Batches, Source
from higr.training.checkpoint import Checkpoints, identity
from higr.training.curves import GUARD, STEPS, StepLog
from higr.training.examples import Examples
from higr.training.optimizer import build_optimizer, set_learning_rate
from higr.training.parallel import prepare, unsynchronised
from higr.training.watch import Look, Watch
from higr.training.world import World


def train(
    objective: nn.Module,
    data: Source,
    held_out: Source | None,
    settings: TrainingConfig,
    *,
    seed: int,
    label: str,
    extra: Mapping[str, Any] = MappingProxyType({}),
    directory: Path | None = None,
    watch: Watch | None = None,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Train, and leave the objective with the weights of its best validation loss, in eval mode.

    The weights it starts from take part: training that only makes things worse changes nothing.

    Args:
        objective: its forward takes `Examples` and gives two scalars: the sum of the losses, and how
            many things were predicted. A row without target (all PADDING) adds to neither.
        data: each example is seen once an epoch, in an order drawn from `seed`.
        held_out: examples whose loss decides which weights are kept and when to stop. None: all epochs
            run and the last weights are kept.
        extra: JSON values by name that a checkpoint must share beside `higr.training.checkpoint.identity`'s.
        directory: keeps checkpoints/ and steps.jsonl, with a watch guard.jsonl; a training that finds a
            checkpoint there goes on from it. None: nothing is written.
        watch: looks at the weights several times an epoch, and every time they are validated, too. Weights
            it finds fault with end the training and are never kept.

    Returns:
        One record an epoch, with a watch one a look, epoch 0 being the start: epoch, steps, train_loss
        (mean over the epoch so far; None at the start), validation_loss (None without validation), best;
        objective: its figures of the validation, where it has some; guard and breach: what the watch found.

    Raises:
        HigrError: no examples; a loss or gradient that is not finite, named with its batch; a checkpoint
            that belongs to another training.
    """
    if len(data) == 0:
        raise HigrError(
            f"{label}: no training examples; look at the data report and lower min_engaged or use more data"
        )
    run = _Training(objective, data, held_out, settings, seed, label, extra, directory, watch, progress)
    try:
        run.start()
        while run.goes_on():
            run.run_epoch()
    finally:
        run.close()
    run.hand_over()
    return run.curve


class _Training:
    """What changes while a training goes on."""

    def __init__(
        self,
        objective: nn.Module,
        data: Source,
        held_out: Source | None,
        settings: TrainingConfig,
        seed: int,
        label: str,
        extra: Mapping[str, Any],
        directory: Path | None,
        watch: Watch | None,
        progress: Progress,
    ) -> None:
        self.objective, self.watch = objective, watch
        self.settings, self.seed, self.label, self.directory = settings, seed, label, directory
        self.world = World.join(settings.parallel)
        self.progress = progress if self.world.first else no_progress
        own_rows = settings.batch_size // self.world.size
        if own_rows % settings.accumulation:
            raise InputError(
                f"{label}: batch_size {settings.batch_size} gives each of {self.world.size} processes "
                f"{own_rows} rows, which cannot be computed in {settings.accumulation} parts; "
                "change training.accumulation"
            )
        share = {"rank": self.world.rank, "processes": self.world.size}
        self.batches = Batches(data, settings.batch_size, seed=seed, **share)
        self.held_out = (
            None if held_out is None else Batches(held_out, settings.batch_size, seed=None, **share)
        )
        own = copy.deepcopy(objective).to(self.world.device)  # FSDP would change the caller's for good
        self.model = prepare(own, settings, self.world)
        self.take: Callable[[], Mapping[str, float]] = getattr(own, "take", dict)
        self.optimizer = build_optimizer(own, settings)
        self.steps = settings.epochs * len(self.batches)
        looks, length = 1 if watch is None else watch.checks, len(self.batches)
        self.judged = {math.ceil(length * look / looks) for look in range(1, looks + 1)}  # batches done
        self.epoch, self.batch, self.loss = 1, 0, (0.0, 0)  # of the epoch so far: sum, number
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.checkpoints: Checkpoints | None = None
        self.logs: dict[str, StepLog] = {}
        if directory is not None:
            shared = identity(objective, data, held_out, settings, seed=seed, label=label, extra=extra)
            self.checkpoints = Checkpoints(directory / "checkpoints", self.world, shared)

    @property
    def step(self) -> int:
        """Steps done."""
        return (self.epoch - 1) * len(self.batches) + self.batch

    def start(self) -> None:
        """Go on from the last checkpoint, or measure the weights it starts from."""
        seen = self._look(start=True)
        latest = self.checkpoints and self.checkpoints.latest()
        if self.checkpoints and latest:
            best = self._weights()
            position = self.checkpoints.load(latest, self.model, self.optimizer, best)
            self.epoch, self.batch, self.curve = position["epoch"], position["batch"], position["curve"]
            self.loss = tuple(position["loss"])
            self.best = best if position["best"] else None
        if self.directory is not None and self.world.first:
            after = self.step if latest else -1
            names = (STEPS,) if self.watch is None else (STEPS, GUARD)
            self.logs = {name: StepLog(self.directory, after, name) for name in names}
        if not latest:
            self._judge(0, None, seen)

    def goes_on(self) -> bool:
        last = max(record["epoch"] for record in self.curve if record["best"])
        return (
            not self.breached
            and self.epoch <= self.settings.epochs
            and self.epoch - 1 - last < self.settings.patience
        )

    @property
    def breached(self) -> bool:
        return bool(self.curve[-1].get("breach"))

    def run_epoch(self) -> None:
        every = self.settings.save_every_steps
        for batch in self.batches.epoch(self.epoch, skip=self.batch):
            self.model.train()
            self._step(batch)
            if self.batch in self.judged:
                total, count = self.loss
                self._judge(self.epoch, total / count, self._look())
                if self.breached:
                    self._save()
                    return
            if every and self.step % every == 0 and self.batch < len(self.batches):
                self._save()
        self.epoch, self.batch, self.loss = self.epoch + 1, 0, (0.0, 0)
        self._save()

    def hand_over(self) -> None:
        """The best weights, whole, to the caller's module."""
        self._lend(self._weights() if self.best is None else self.best)

    def close(self) -> None:
        for log in self.logs.values():
            log.close()

    # -- one step -----------------------------------------------------------------------------

    def _step(self, batch: Examples) -> None:
        started = time.perf_counter()
        rate = set_learning_rate(self.optimizer, self.settings, self.step, self.steps)
        key = [self.seed, self.epoch, self.batch, self.world.rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))  # dropout
        self.optimizer.zero_grad(set_to_none=True)
        loss, count, rows = self._gradients(batch)
        norm = float(_whole(nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise HigrError(self._not_finite(loss / count, norm))
        self.optimizer.step()
        self.batch += 1
        self.loss = (self.loss[0] + loss, self.loss[1] + count)
        figures = self.take()
        if self.logs and self.step % self.settings.log_every == 0:
            self.logs[STEPS].write(
                {
                    "step": self.step,
                    "epoch": self.epoch,
                    "loss": loss / count,
                    "learning_rate": rate,
                    "grad_norm": norm,
                    "slates_per_second": round(rows / (time.perf_counter() - started), 1),
                    **figures,
                }
            )
        self.progress(self.label, self.step, self.steps)

    def _gradients(self, batch: Examples) -> tuple[float, int, int]:
        """Fill the gradients of the mean loss over the batch of all processes.

        Returns:
            The sum of the losses, the number predicted, and the examples, over all processes.
        """
        parts, batch = self.settings.accumulation, self._here(batch)
        size = len(batch) // parts
        sums = torch.zeros(3, dtype=torch.float64, device=self.world.device)
        for part in range(parts):
            own = batch[part * size : (part + 1) * size]
            with unsynchronised(self.model, last=part == parts - 1):
                loss, count = self._losses(own)
                loss.backward()
            sums += torch.stack([loss.detach().double(), count.double(), (own.targets.rows >= 0).sum()])
        loss, count, rows = self.world.sum(sums).tolist()
        # Gradients are means over the processes of gradients of sums.
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, self.world.size / count)
        return loss, int(count), int(rows)

    def _here(self, batch: Examples) -> Examples:
        return batch.map(lambda tensor: tensor.to(self.world.device))

    def _losses(self, batch: Examples) -> tuple[Tensor, Tensor]:
        with torch.autocast(
            self.world.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"
        ):
            return self.model(batch)

    # -- what came of them --------------------------------------------------------------------

    def _look(self, start: bool = False) -> Look | None:
        """What the watch finds; the first process asks it, all of them call this."""
        if self.watch is None:
            return None
        self._lend(self._weights())
        seen: Look | None = None
        if self.world.first:
            seen = self.watch.start() if start else self.watch.look()
        return self.world.share(seen)

    def _judge(self, epoch: int, train_loss: float | None, seen: Look | None) -> None:
        """Measure the weights, keep them if they are the best so far, and write it down."""
        breach = seen.breach if seen is not None else None
        lost = breach and seen is not None and not all(map(math.isfinite, seen.figures.values()))
        validation = None if lost else self._validation()
        figures = self.take()
        others = [record["validation_loss"] for record in self.curve]
        better = not breach and (validation is None or not others or validation < min(others))
        if better and (validation is not None or seen is not None):
            self.best = self._weights()
        record: dict[str, Any] = {
            "epoch": epoch,
            "steps": self.step,
            "train_loss": train_loss,
            "validation_loss": validation,
            "best": better,
        }
        if figures and validation is not None:
            record["objective"] = dict(figures)
        if seen is not None:
            record |= {"guard": dict(seen.figures), "breach": breach}
        self.curve.append(record)
        if GUARD in self.logs and seen is not None:
            line = {"step": self.step, "epoch": epoch, "validation_loss": validation}
            self.logs[GUARD].write({**line, **seen.figures, "breach": breach})

    @torch.no_grad()
    def _validation(self) -> float | None:
        if self.held_out is None:
            return None
        self.model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.world.device)
        for batch in self.held_out.epoch(0):
            sums += torch.stack([value.double() for value in self._losses(self._here(batch))])
        total, count = self.world.sum(sums).tolist()
        if not math.isfinite(total):
            raise HigrError(
                f"{self.label}: validation loss is {total / count} after {self.step} steps; "
                "lower the learning rate"
            )
        return total / count

    # -- what is kept -------------------------------------------------------------------------

    def _weights(self) -> dict[str, Any]:
        """A copy of the weights, each process its part."""
        weights: dict[str, Any] = get_model_state_dict(self.model)
        return {name: value.detach().clone() for name, value in weights.items()}

    def _lend(self, weights: Mapping[str, Any]) -> None:
        """Weights, whole, to the caller's module."""
        self.objective.load_state_dict({name: _whole(value) for name, value in weights.items()})
        self.objective.eval()

    def _save(self) -> None:
        if self.checkpoints is not None:
            position = {"epoch": self.epoch, "batch": self.batch, "loss": self.loss, "curve": self.curve}
            self.checkpoints.save(self.model, self.optimizer, self.best, self.step, position)

    def _not_finite(self, loss: float, norm: float) -> str:
        rows = self.batches.rows(self.epoch, self.batch)
        named = ", ".join(map(str, rows[:8])) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
        kept = "nothing was saved"
        if self.directory is not None and self.checkpoints is not None:
            latest = self.checkpoints.latest()
            kept = f"the last good checkpoint is {latest}" if latest else "there is no checkpoint yet"
            if self.world.first:
                place = {"epoch": self.epoch, "step": self.step + 1, "rows": rows}
                write_json(self.directory / "failed_batch.json", place)
        return (
            f"{self.label}: loss is {loss}, gradient norm {norm}, in epoch {self.epoch} at step "
            f"{self.step + 1}, rows {named} of the training data; "
            f"lower the learning rate or look at these rows; {kept}"
        )


def _whole(value: Any) -> Tensor:
    """A tensor that FSDP spread over the processes, put together on the CPU."""
    return (value.full_tensor() if isinstance(value, DTensor) else value).detach().cpu()
