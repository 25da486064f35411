"""The way of a photo that is timed is a run's own."""

import pytest

from jobs.demo_model import speed


def test_a_photo_goes_the_whole_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SETTINGS", ("steps=2", "area=4096"))
    assert 0 < speed._convert("demo", "coffee.png") < 60


def test_a_photo_that_fails_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SETTINGS", ("steps=2", "area=4096"))
    with pytest.raises(RuntimeError, match="not found"):
        speed._convert("demo", "none.png")
