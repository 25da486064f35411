"""Prompts name what was rendered; palettes change colours as their words say."""

import numpy as np
import pytest

from jobs.demo_model.vocabulary import EMPTY, PALETTES, prompt, vocabulary


def test_the_palette_is_named_unless_nothing_is() -> None:
    random = np.random.default_rng(3)
    made = [prompt(random, ["sea"], "night", drawn=True) for _ in range(1000)]
    spoken = [text for text in made if text]
    assert all("night" in text for text in spoken)
    assert 1 - len(spoken) / len(made) == pytest.approx(EMPTY, abs=0.03)


def test_a_photo_is_called_one() -> None:
    made = [prompt(np.random.default_rng(seed), [], None, drawn=False) for seed in range(20)]
    assert all({"photo", "realistic"} & set(text.split(", ")) for text in made if text)


@pytest.mark.parametrize("word", PALETTES)
def test_a_palette_keeps_the_order_of_lightness_and_the_range(word: str) -> None:
    ramp = np.linspace(0, 1, 32)[None, :, None].repeat(3, axis=2)  # [1, 32, 3]
    colors = PALETTES[word](ramp)
    assert (np.diff(colors.sum(axis=2)) > 0).all()
    assert colors.min() >= 0
    assert colors.max() <= 1.05


def test_night_is_dark_and_blue_and_sunset_is_red() -> None:
    grey = np.full((1, 1, 3), 0.5)
    night, sunset = PALETTES["night"](grey)[0, 0], PALETTES["sunset"](grey)[0, 0]
    assert night.mean() < 0.3 < sunset.mean()
    assert night[2] > night[0]
    assert sunset[0] > sunset[2]


def test_every_word_is_one_word() -> None:
    assert all(word.isalpha() for word in vocabulary())
    assert len(set(vocabulary())) == len(vocabulary())
