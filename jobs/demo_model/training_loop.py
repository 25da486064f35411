"""Train one stage with checkpoints. Each step has its own random seed, so an interrupted stage can be resumed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from torch import Tensor
from torch.optim import Optimizer

from pipeline.errors import OutputError, RunStoppedError

CHECKPOINT_EVERY = 250  # steps
SAMPLE_EVERY = 2000  # steps
REPORT_EVERY = 50  # steps
MEAN_OVER = 200  # steps over which the returned losses are averaged
CLIP = 1.0  # largest norm of the gradients

Losses = dict[str, float]
"""Losses and other measures of a step, by name."""


@dataclass(frozen=True)
class StepRandom:
    """The random generators of one step, seeded by the stage's seed and the step's number."""

    numpy: np.random.Generator  # for the choice of examples
    torch: torch.Generator  # for noise on the device


@dataclass(frozen=True)
class TrainingStage:
    """A module with its loss and its optimizers.

    Attributes:
        name: Prefix of the checkpoint and of the sample sheets.
        module: The module to train.
        steps: Number of steps.
        optimizers: Optimizers, created with their peak learning rate. The rate rises to the peak in a warm-up, then
            falls to zero along half a cosine.
        loss: Returns the loss of a step, and other values to report, by name.
        save_samples: Writes a sample sheet to a path.
        seed: Seed of the random generators of all steps.
        device: Device of the module, such as `cpu`.
        settings: What the weights depend on besides `steps`. A checkpoint with other settings is refused.
    """

    name: str
    module: torch.nn.Module
    steps: int
    optimizers: list[Optimizer]
    loss: Callable[[StepRandom], tuple[Tensor, Losses]]
    save_samples: Callable[[Path], None]
    seed: int
    device: str
    settings: dict[str, str | int]

    def run(self, folder: Path, report: Callable[[str], None]) -> Losses:
        """Train `module`, starting from its checkpoint in `folder` if there is one.

        Args:
            folder: Folder of the checkpoint and the sample sheets.
            report: Receives a line of progress every REPORT_EVERY steps.

        Returns:
            The mean losses of the last MEAN_OVER steps, or of the steps since the start of this call if they are fewer.
            For a complete stage, those of the checkpoint.

        Raises:
            OutputError: The checkpoint has other settings.
            RunStoppedError: The loss is not finite.
        """
        state = _TrainingState(self)
        state.load(folder / f"{self.name}.pt")
        began, recent = time.perf_counter(), list[Losses]()
        while state.step < self.steps:
            recent = [*recent[1 - MEAN_OVER :], state.advance(self.loss)]
            if state.step % REPORT_EVERY == 0:
                now = time.perf_counter()
                losses = _mean_losses(recent[-REPORT_EVERY:])
                report(_progress_line(self, state.step, (now - began) / REPORT_EVERY, losses))
                began = now
            if state.step % CHECKPOINT_EVERY == 0 or state.step == self.steps:
                state.losses = _mean_losses(recent)
                state.save(folder / f"{self.name}.pt")
            if state.step % SAMPLE_EVERY == 0 or state.step == self.steps:
                self.save_samples(folder / f"{self.name}-{state.step:06d}.png")
        return state.losses


class _TrainingState:
    """The contents of a checkpoint: settings, weights, optimizers, learning rates, step and losses."""

    def __init__(self, stage: TrainingStage) -> None:
        self._stage = stage
        self._settings = {**stage.settings, "steps": stage.steps}  # the schedule of the learning rate depends on steps
        self.step = 0
        self.losses: Losses = {}
        warm_up = max(1, stage.steps // 40)
        self._schedules = [get_cosine_schedule_with_warmup(each, warm_up, stage.steps) for each in stage.optimizers]

    def advance(self, loss_of: Callable[[StepRandom], tuple[Tensor, Losses]]) -> Losses:
        """Train for one step."""
        seed = [self._stage.seed, self.step]
        noise = torch.Generator(self._stage.device).manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        loss, losses = loss_of(StepRandom(np.random.default_rng(seed), noise))
        if not torch.isfinite(loss):
            hint = "Train with another seed in another folder."
            raise RunStoppedError(f"{self._stage.name}: the loss of step {self.step} is {loss.item()}", hint)
        self._stage.module.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._stage.module.parameters(), CLIP)
        for each in (*self._stage.optimizers, *self._schedules):
            each.step()
        self.step += 1
        return {"loss": float(loss.detach()), **losses}

    def save(self, path: Path) -> None:
        """Write the checkpoint to a temporary file, then rename it, so that a kill never leaves an incomplete one."""
        parts = {
            "settings": self._settings,
            "step": self.step,
            "losses": self.losses,
            "module": self._stage.module.state_dict(),
            "optimizers": [each.state_dict() for each in self._stage.optimizers],
            "schedules": [each.state_dict() for each in self._schedules],
        }
        torch.save(parts, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)

    def load(self, path: Path) -> None:
        """Load the checkpoint, if it exists."""
        if not path.is_file():
            return
        parts = torch.load(path, map_location=self._stage.device, weights_only=True)
        if parts["settings"] != self._settings:
            message = f"{path}: the checkpoint was written with {parts['settings']}, not with {self._settings}"
            raise OutputError(message, "Remove it, or use the same settings.")
        self.step, self.losses = parts["step"], parts["losses"]
        self._stage.module.load_state_dict(parts["module"])
        states = [*parts["optimizers"], *parts["schedules"]]
        for each, state in zip([*self._stage.optimizers, *self._schedules], states, strict=True):
            each.load_state_dict(state)


def _mean_losses(recent: list[Losses]) -> Losses:
    names = dict.fromkeys(name for losses in recent for name in losses)
    return {name: float(np.mean([losses[name] for losses in recent if name in losses])) for name in names}


def _progress_line(stage: TrainingStage, step: int, seconds: float, losses: Losses) -> str:
    values = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
    minutes_left = (stage.steps - step) * seconds / 60
    return f"{stage.name} {step}/{stage.steps}: {values}; {seconds:.3f} s per step, {minutes_left:.0f} min left"
