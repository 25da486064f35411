"""A stage that was interrupted ends with the same weights as one that was not."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.demo_model import training_loop
from jobs.demo_model.muon import optimizers
from jobs.demo_model.training_loop import Losses, StepRandom, TrainingStage
from pipeline.errors import OutputError, RunStoppedError


def line_fit(steps: int, seed: int = 7) -> TrainingStage:
    """Return a stage that fits a line to noisy points."""
    torch.manual_seed(1)
    line = torch.nn.Linear(1, 1)

    def loss(random: StepRandom) -> tuple[Tensor, Losses]:
        points = torch.from_numpy(random.numpy.uniform(-1, 1, (16, 1))).float()
        noise = torch.randn((16, 1), generator=random.torch) * 0.01
        error = (line(points) - (3 * points + 1 + noise)).square().mean()
        return error, {"error": float(error.detach())}

    def save_samples(path: Path) -> None:
        path.write_bytes(b"sheet")

    settings: dict[str, str | int] = {"seed": seed}
    return TrainingStage("line", line, steps, optimizers(line, 0.3), loss, save_samples, 7, "cpu", settings)


def weights(stage: TrainingStage) -> np.ndarray:
    """Return all weights of a stage as one vector."""
    return np.concatenate([part.detach().numpy().ravel() for part in stage.module.parameters()])


def ignore(_line: str) -> None:
    """Receive a line of progress."""


def test_loss_reaches_its_target(tmp_path: Path) -> None:
    lines: list[str] = []
    stage = line_fit(300)
    losses = stage.run(tmp_path, lines.append)
    assert losses["error"] < 0.01
    assert weights(stage) == pytest.approx([3, 1], abs=0.05)
    assert len(lines) == 300 // training_loop.REPORT_EVERY
    assert lines[-1].startswith("line 300/300: loss 0.00")
    assert (tmp_path / "line-000300.png").is_file()


def test_interrupted_training_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "CHECKPOINT_EVERY", 20)
    for name in ("uninterrupted", "interrupted"):
        (tmp_path / name).mkdir()
    uninterrupted = line_fit(100)
    uninterrupted.run(tmp_path / "uninterrupted", ignore)

    class InterruptedTrainingError(Exception):
        pass

    def interrupt(line: str) -> None:
        if line.startswith("line 50/"):  # ten steps after the last checkpoint
            raise InterruptedTrainingError

    with pytest.raises(InterruptedTrainingError):
        line_fit(100).run(tmp_path / "interrupted", interrupt)
    resumed = line_fit(100)
    resumed.run(tmp_path / "interrupted", ignore)
    assert (weights(resumed) == weights(uninterrupted)).all()


def test_finished_training_is_loaded(tmp_path: Path) -> None:
    first = line_fit(60)
    losses = first.run(tmp_path, ignore)
    again = line_fit(60)
    lines: list[str] = []
    assert again.run(tmp_path, lines.append) == losses
    assert not lines
    assert (weights(again) == weights(first)).all()


@pytest.mark.parametrize("other", [line_fit(20, seed=8), line_fit(30)])
def test_checkpoint_with_other_settings_is_refused(tmp_path: Path, other: TrainingStage) -> None:
    line_fit(20).run(tmp_path, ignore)
    with pytest.raises(OutputError, match="line.pt"):
        other.run(tmp_path, ignore)


def test_non_finite_loss_stops_training_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_loop, "CHECKPOINT_EVERY", 10)
    stage, steps = line_fit(40), itertools.count()

    def loss(random: StepRandom) -> tuple[Tensor, Losses]:
        error, losses = stage.loss(random)
        return (error if next(steps) < 20 else error * torch.nan), losses

    with pytest.raises(RunStoppedError, match="step 20"):
        dataclasses.replace(stage, loss=loss).run(tmp_path, ignore)
    assert torch.load(tmp_path / "line.pt", weights_only=True)["step"] == 20
    assert np.isfinite(weights(stage)).all()
