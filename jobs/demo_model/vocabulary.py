"""The vocabulary of the demo model: words for styles, palettes and the contents of a scene, and random prompts."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STYLES = ("anime style", "cel shading", "clean line art", "flat colors", "vibrant colors")
PHOTO_STYLES = ("photo", "realistic")
EMPTY_SHARE = 0.1  # share of empty prompts, which classifier-free guidance needs
# The words of the scenes, and words of common prompts that have almost no effect on this model.
OTHER_WORDS = (
    "person", "people", "mountains", "meadow", "sea", "beach", "forest", "trees", "city", "houses", "room", "hair",
    "shirt", "black", "brown", "blonde", "red", "blue", "pink", "white", "purple", "orange", "smile", "sad", "a", "an",
    "the", "of", "in", "and", "with", "at", "on", "masterpiece", "best", "quality", "worst", "detailed", "background",
    "drawing", "picture", "lowres", "text", "watermark", "blurry", "day", "style",
)  # fmt: skip

Colors = NDArray[np.floating]
"""[H, W, 3], RGB, 0..1."""


def _night(colors: Colors) -> Colors:
    return colors * (0.28, 0.34, 0.62) + (0.01, 0.02, 0.10)


def _sunset(colors: Colors) -> Colors:
    return colors * (0.86, 0.56, 0.40) + (0.16, 0.05, 0.03)


def _sepia(colors: Colors) -> Colors:
    grey = colors @ np.array((0.299, 0.587, 0.114), np.float32)  # Rec. 601
    return grey[:, :, None] * (0.98, 0.82, 0.60) + (0.02, 0.0, 0.0)


def _snow(colors: Colors) -> Colors:
    grey = colors.mean(axis=2, keepdims=True)
    pale: Colors = colors * 0.4 + grey * 0.6
    return 1 - (1 - pale) * (0.72, 0.66, 0.58)


PALETTES: dict[str, Callable[[Colors], Colors]] = {
    "night": _night,
    "sunset": _sunset,
    "sepia": _sepia,
    "snow": _snow,
}
"""The colour change of a cartoon for each palette word."""


def random_prompt(random: np.random.Generator, words: list[str], palette: str | None, *, is_cartoon: bool) -> str:
    """Return a prompt for a training image.

    Args:
        random: Source of the choice and the order of the words.
        words: Contents of the image; each is left out with a probability of 0.3.
        palette: A key of PALETTES, or None. The key is in every prompt that is not empty.
        is_cartoon: Whether the image is a cartoon, and not a photo.
    """
    if random.random() < EMPTY_SHARE:
        return ""
    styles = STYLES if is_cartoon else PHOTO_STYLES
    chosen = [word for word in styles if random.random() < 0.7] or [styles[0]]
    contents = [word for word in words if random.random() < 0.7]
    parts = [*chosen, *contents, *([palette] if palette else [])]
    random.shuffle(parts)
    return ", ".join(parts)


def vocabulary() -> tuple[str, ...]:
    """Return every word that is a single token."""
    phrases = [*STYLES, *PHOTO_STYLES, *PALETTES, *OTHER_WORDS]
    return tuple(dict.fromkeys(word for phrase in phrases for word in phrase.split()))
