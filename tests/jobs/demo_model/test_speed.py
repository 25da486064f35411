"""Convert one photo as the speed measurement does, from fetch to encode."""

import pytest

from jobs.demo_model import speed

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert at 64x64 pixels."""
    monkeypatch.setattr(speed, "SETTINGS", ("steps=2", "area=4096"))


def test_conversion_reports_its_seconds() -> None:
    assert speed._convert("demo", "coffee.png") > 0


def test_failed_photo_raises_an_error() -> None:
    with pytest.raises(RuntimeError, match="not found"):
        speed._convert("demo", "none.png")
