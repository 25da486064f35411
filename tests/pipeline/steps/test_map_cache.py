"""The cache of control maps: equal inputs give equal keys, and a damaged file counts as missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import storage
from pipeline.images.arrays import Pixels
from pipeline.steps.map_cache import MapCache, map_key
from schemas.detectors import CannySettings, TileSettings
from schemas.work import Decoded, Mapped
from tests.rows import edit, mapped_row

KEYS = ["ab" + "0" * 62, "cd" + "1" * 62]


@pytest.fixture
def pixels() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def key_of(row: Mapped, **changes: Any) -> str:
    arguments: dict[str, Any] = {"settings": CannySettings(), "weights": None, "context": "cpu white"}
    return map_key(row, **(arguments | changes))


def test_a_map_is_read_as_it_was_written(bucket: str, pixels: Pixels) -> None:
    cache = MapCache(f"{bucket}/maps")
    cache.write({KEYS[0]: pixels})
    found = cache.read([KEYS[0], KEYS[1], KEYS[0]])
    assert list(found) == KEYS[:1]
    assert (found[KEYS[0]] == pixels).all()
    assert storage.exists(f"{bucket}/maps/ab/{KEYS[0]}.png")


@pytest.mark.parametrize("damage", [b"", b"not an image", None])
def test_a_damaged_map_counts_as_missing_and_is_written_again(
    tmp_path: Path, pixels: Pixels, damage: bytes | None
) -> None:
    cache, path = MapCache(str(tmp_path)), tmp_path / "ab" / f"{KEYS[0]}.png"
    cache.write({KEYS[0]: pixels})
    path.write_bytes(path.read_bytes()[:500] if damage is None else damage)
    assert cache.read(KEYS) == {}
    cache.write({KEYS[0]: pixels})
    assert list(cache.read(KEYS)) == KEYS[:1]


def test_without_a_folder_the_cache_is_empty(pixels: Pixels) -> None:
    cache = MapCache(None)
    cache.write({KEYS[0]: pixels})
    assert cache.read(KEYS) == {}


def test_the_key_does_not_depend_on_the_variant_or_the_recipe(decoded: Decoded) -> None:
    row = mapped_row(decoded)
    other = {"variant": 3, "seed": 9, "key": "f" * 64, "photo_id": "other", "recipe_digest": "b" * 64, "unit": "v"}
    assert key_of(edit(row, planned=other)) == key_of(row)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": CannySettings(low=90)},
        {"settings": TileSettings()},
        {"weights": "a" * 64},
        {"context": "cuda white"},
        {"row": {"source": {"sha256": "c" * 64}}},
        {"row": {"canvas": {"width": 128}}},
        {"row": {"canvas": {"padding": {"left": 1}}}},
        {"row": {"canvas": {"transform": {"offset_x": 1.0}}}},
    ],
)
def test_the_key_depends_on_everything_that_decides_the_map(decoded: Decoded, change: dict[str, Any]) -> None:
    row = mapped_row(decoded)
    assert key_of(edit(row, **change.pop("row", {})), **change) != key_of(row)
