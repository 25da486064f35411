"""The demo model's language: words for styles, palettes and what a scene shows, and prompts made of them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STYLES = ("anime style", "cel shading", "clean line art", "flat colors", "vibrant colors")
PHOTOGRAPHED = ("photo", "realistic")
EMPTY = 0.1  # share of prompts that say nothing: guidance compares with them
# Words of the scenes, and some that people write into prompts and that mean nothing to this model.
OTHERS = (
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
"""What a palette's word does to the colours of a drawing."""


def prompt(random: np.random.Generator, shown: list[str], palette: str | None, *, drawn: bool) -> str:
    """Return a prompt for a picture that shows these words' things; the palette is always named."""
    if random.random() < EMPTY:
        return ""
    styles = STYLES if drawn else PHOTOGRAPHED
    chosen = [word for word in styles if random.random() < 0.7] or [styles[0]]
    named = [word for word in shown if random.random() < 0.7]
    parts = [*chosen, *named, *([palette] if palette else [])]
    random.shuffle(parts)
    return ", ".join(parts)


def vocabulary() -> tuple[str, ...]:
    """Return every word that is one token."""
    spoken = [*STYLES, *PHOTOGRAPHED, *PALETTES, *OTHERS]
    return tuple(dict.fromkeys(word for words in spoken for word in words.split()))
