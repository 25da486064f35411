"""Examples: what is drawn, its maps and its words belong together, on the same pixels."""

import numpy as np
import pytest

from jobs.demo_model import dataset
from jobs.demo_model.architecture import NETS
from jobs.demo_model.cartoon import cartoon
from jobs.demo_model.dataset import Batch, Examples
from jobs.demo_model.scenes import random_scene


@pytest.fixture(scope="module")
def shown(astronaut: np.ndarray) -> Examples:
    """Return a few scenes with people and one photo."""
    return Examples([random_scene(seed) for seed in (1, 4, 13)], [(astronaut, cartoon(astronaut))])


@pytest.fixture(scope="module")
def batch(shown: Examples) -> Batch:
    """Return many examples of 64 x 64 pixels."""
    return shown.batch(np.random.default_rng(5), 300, 64)


def test_shapes_and_types(batch: Batch) -> None:
    for pixels in (batch.targets, batch.photos, *batch.maps.values()):
        assert (pixels.shape, pixels.dtype) == ((300, 64, 64, 3), np.uint8)
    assert set(batch.maps) == set(NETS)
    assert len(batch.prompts) == 300


def test_the_same_chance_gives_the_same_examples(shown: Examples, batch: Batch) -> None:
    again = shown.batch(np.random.default_rng(5), 300, 64)
    assert (again.targets == batch.targets).all()
    assert again.prompts == batch.prompts


def test_canny_maps_are_the_photos_own_or_black(batch: Batch) -> None:
    black = 0
    for photo, drawn in zip(batch.photos, batch.maps["canny"], strict=True):
        own = [(canny(photo) == drawn).all() for canny in dataset.CANNIES]
        assert any(own) or not drawn.any()
        black += not drawn.any()
    assert black / 300 == pytest.approx(dataset.BLANK, abs=0.12)  # flat crops have no edges either


def test_a_photo_is_kept_as_one_now_and_then_and_called_so(batch: Batch) -> None:
    kept = ~batch.drawn
    assert kept.mean() == pytest.approx(dataset.PHOTOGRAPHED, abs=0.06)
    assert (batch.targets[kept] == batch.photos[kept]).all()
    words = [text for text, whole in zip(batch.prompts, kept, strict=True) if whole and text]
    assert all("photo" in text or "realistic" in text for text in words)
    assert not any("photo" in text for text, drawn in zip(batch.prompts, batch.drawn, strict=True) if drawn)


def test_a_palette_that_is_named_is_seen(batch: Batch) -> None:
    night = [target.mean() for target, text in zip(batch.targets, batch.prompts, strict=True) if "night" in text]
    snow = [target.mean() for target, text in zip(batch.targets, batch.prompts, strict=True) if "snow" in text]
    assert np.mean(night) < 90
    assert np.mean(snow) > 160
