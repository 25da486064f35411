"""A stage that is stopped and gone on with ends where an undisturbed one ends."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.demo_model import training_loop
from jobs.demo_model.muon import optimizers
from jobs.demo_model.training_loop import Draws, Losses, Stage
from pipeline.errors import RunStoppedError, StorageError


def fitting(steps: int, seed: int = 7) -> Stage:
    """Return a stage that fits a line to noisy points."""
    torch.manual_seed(1)
    line = torch.nn.Linear(1, 1)

    def loss(draws: Draws) -> tuple[Tensor, Losses]:
        points = torch.from_numpy(draws.numpy.uniform(-1, 1, (16, 1))).float()
        noise = torch.randn((16, 1), generator=draws.torch) * 0.01
        error = (line(points) - (3 * points + 1 + noise)).square().mean()
        return error, {"error": float(error.detach())}

    def show(path: Path) -> None:
        path.write_bytes(b"sheet")

    return Stage("line", line, steps, optimizers(line, 0.3), loss, show, seed=7, device="cpu", made_of={"seed": seed})


def weights(trained: Stage) -> np.ndarray:
    """Return a stage's weights in one row."""
    return np.concatenate([part.detach().numpy().ravel() for part in trained.module.parameters()])


def test_it_learns_says_so_and_shows_samples(tmp_path: Path) -> None:
    said: list[str] = []
    trained = fitting(300)
    losses = trained.run(tmp_path, said.append)
    assert losses["error"] < 0.01
    assert weights(trained) == pytest.approx([3, 1], abs=0.05)
    assert len(said) == 300 // training_loop.REPORT_EVERY
    assert said[-1].startswith("line 300/300: loss 0.00")
    assert (tmp_path / "line-000300.png").is_file()


def test_a_stopped_one_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "KEEP_EVERY", 20)
    whole = fitting(100)
    whole.run(tmp_path / "whole", _make(tmp_path / "whole"))

    class StoppedError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("line 50/"):  # ten steps behind the last checkpoint
            raise StoppedError

    stopped = fitting(100)
    _make(tmp_path / "stopped")
    with pytest.raises(StoppedError):
        stopped.run(tmp_path / "stopped", stop)
    gone_on = fitting(100)
    gone_on.run(tmp_path / "stopped", lambda _: None)
    assert (weights(gone_on) == weights(whole)).all()


def test_a_finished_one_only_loads(tmp_path: Path) -> None:
    first = fitting(60)
    losses = first.run(tmp_path, lambda _: None)
    again = fitting(60)
    said: list[str] = []
    assert again.run(tmp_path, said.append) == losses
    assert not said
    assert (weights(again) == weights(first)).all()


@pytest.mark.parametrize("other", [fitting(20, seed=8), fitting(30)])
def test_another_runs_checkpoint_is_refused(tmp_path: Path, other: Stage) -> None:
    fitting(20).run(tmp_path, lambda _: None)
    with pytest.raises(StorageError, match=r"line.pt: the checkpoint of another run .*7.*20.* Remove it"):
        other.run(tmp_path, lambda _: None)


def test_a_loss_that_is_no_number_ends_it_before_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "KEEP_EVERY", 10)
    sound, steps = fitting(40), itertools.count()

    def loss(draws: Draws) -> tuple[Tensor, Losses]:
        error, losses = sound.loss(draws)
        return (error if next(steps) < 20 else error * torch.nan), losses

    with pytest.raises(RunStoppedError, match="line, step 20: the loss is nan"):
        dataclasses.replace(sound, loss=loss).run(tmp_path, lambda _: None)
    assert torch.load(tmp_path / "line.pt", weights_only=True)["step"] == 20
    assert np.isfinite(weights(sound)).all()


def _make(folder: Path):  # noqa: ANN202 - a callable that says nothing
    folder.mkdir()
    return lambda _: None
