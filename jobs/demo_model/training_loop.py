"""One stage of training: steps that follow from their number alone, so that it can be stopped and gone on with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from torch import Tensor
from torch.optim import Optimizer

from pipeline.errors import RunStoppedError, StorageError

KEEP_EVERY = 250  # steps between two checkpoints
SHOW_EVERY = 2000  # steps between two sample sheets
REPORT_EVERY = 50
CLIP = 1.0  # of the gradients' norm

Losses = dict[str, float]


@dataclass(frozen=True)
class Draws:
    """The chance of one step: numbers for the examples, and noise for the network."""

    numpy: np.random.Generator
    torch: torch.Generator


@dataclass(frozen=True)
class Stage:
    """What a stage trains, how long, and how its loss is computed."""

    name: str
    module: torch.nn.Module
    steps: int
    optimizers: list[Optimizer]  # at their learning rate after the warm-up; it falls to nothing in half a cosine
    loss: Callable[[Draws], tuple[Tensor, Losses]]
    show: Callable[[Path], None]  # draws a sample sheet
    seed: int
    device: str
    made_of: dict[str, str | int]  # what its checkpoints depend on beside its steps: they are no other run's

    def run(self, folder: Path, say: Callable[[str], None]) -> Losses:
        """Train `module` from the last checkpoint below `folder` on; return the mean losses of the last steps.

        Raises `StorageError` for the checkpoint of another run, and `RunStoppedError` if the loss is not finite.
        """
        state = _State(self)
        state.load(folder / f"{self.name}.pt")
        began, recent = time.perf_counter(), list[Losses]()
        while state.step < self.steps:
            recent = [*recent[-199:], state.advance(self.loss)]
            if state.step % REPORT_EVERY == 0:
                now = time.perf_counter()
                say(_line(self, state.step, (now - began) / REPORT_EVERY, _means(recent[-REPORT_EVERY:])))
                began = now
            if state.step % KEEP_EVERY == 0 or state.step == self.steps:
                state.losses = _means(recent)
                state.save(folder / f"{self.name}.pt")
            if state.step % SHOW_EVERY == 0 or state.step == self.steps:
                self.show(folder / f"{self.name}-{state.step:06d}.png")
        return state.losses


class _State:
    """Everything that a checkpoint keeps."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._made_of = {**stage.made_of, "steps": stage.steps}  # which the learning rate's fall follows
        self.step = 0
        self.losses: Losses = {}
        warm_up = max(1, stage.steps // 40)
        self._rates = [get_cosine_schedule_with_warmup(each, warm_up, stage.steps) for each in stage.optimizers]

    def advance(self, loss_of: Callable[[Draws], tuple[Tensor, Losses]]) -> Losses:
        """Make one step."""
        seed = [self._stage.seed, self.step]
        noise = torch.Generator(self._stage.device).manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        loss, losses = loss_of(Draws(np.random.default_rng(seed), noise))
        if not torch.isfinite(loss):
            message = f"{self._stage.name}, step {self.step}: the loss is {loss.item()}"
            raise RunStoppedError(message, "Its last checkpoint stands; train with another seed in another folder.")
        self._stage.module.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._stage.module.parameters(), CLIP)
        for each in (*self._stage.optimizers, *self._rates):
            each.step()
        self.step += 1
        return {"loss": float(loss.detach()), **losses}

    def save(self, path: Path) -> None:
        """Write the checkpoint; the last one stays whole if this is killed."""
        parts = {
            "made_of": self._made_of,
            "step": self.step,
            "losses": self.losses,
            "module": self._stage.module.state_dict(),
            "optimizers": [each.state_dict() for each in self._stage.optimizers],
            "rates": [each.state_dict() for each in self._rates],
        }
        torch.save(parts, path.with_suffix(".partial"))
        path.with_suffix(".partial").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one."""
        if not path.is_file():
            return
        parts = torch.load(path, map_location=self._stage.device, weights_only=True)
        if parts["made_of"] != self._made_of:
            message = f"{path}: the checkpoint of another run ({parts['made_of']}, not {self._made_of})"
            raise StorageError(message, "Remove it, or give that run's settings.")
        self.step, self.losses = parts["step"], parts["losses"]
        self._stage.module.load_state_dict(parts["module"])
        kept = [*parts["optimizers"], *parts["rates"]]
        for each, state in zip([*self._stage.optimizers, *self._rates], kept, strict=True):
            each.load_state_dict(state)


def _means(recent: list[Losses]) -> Losses:
    names = dict.fromkeys(name for losses in recent for name in losses)
    return {name: float(np.mean([losses[name] for losses in recent if name in losses])) for name in names}


def _line(stage: Stage, step: int, pace: float, losses: Losses) -> str:
    shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
    left = (stage.steps - step) * pace / 60
    return f"{stage.name} {step}/{stage.steps}: {shown}; {pace:.3f} s a step, {left:.0f} min left"
