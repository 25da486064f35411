"""The cache of maps: the same question gives the same map, another question none, and damage is a miss."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import storage
from pipeline.steps.map_cache import MapCache, map_key
from schemas.detectors import CannySettings, TileSettings
from schemas.work import Row

KEYS = ["ab" + "0" * 62, "cd" + "1" * 62]


@pytest.fixture
def drawn() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def key_of(row: Row, **changes: Any) -> str:
    given: dict[str, Any] = {"settings": CannySettings(), "weights": None, "place": "cpu white"}
    return map_key(row, **(given | changes))


def test_what_is_written_is_read_to_the_bit(bucket: str, drawn: NDArray[np.uint8]) -> None:
    cache = MapCache(f"{bucket}/maps")
    cache.write({KEYS[0]: drawn})
    found = cache.read([KEYS[0], KEYS[1], KEYS[0]])
    assert list(found) == KEYS[:1]
    assert (found[KEYS[0]] == drawn).all()
    assert storage.exists(f"{bucket}/maps/ab/{KEYS[0]}.png")


@pytest.mark.parametrize("damage", [b"", b"no picture", None])
def test_a_damaged_map_is_a_miss_and_is_written_again(
    tmp_path: Path, drawn: NDArray[np.uint8], damage: bytes | None
) -> None:
    cache, path = MapCache(str(tmp_path)), tmp_path / "ab" / f"{KEYS[0]}.png"
    cache.write({KEYS[0]: drawn})
    path.write_bytes(path.read_bytes()[:500] if damage is None else damage)
    assert cache.read(KEYS) == {}
    cache.write({KEYS[0]: drawn})
    assert list(cache.read(KEYS)) == KEYS[:1]


def test_without_a_folder_there_is_nothing(drawn: NDArray[np.uint8]) -> None:
    cache = MapCache(None)
    cache.write({KEYS[0]: drawn})
    assert cache.read(KEYS) == {}


def test_the_key_does_not_know_the_variant_nor_the_recipe(decoded: Row) -> None:
    row = decoded | {"source_sha256": "a" * 64}
    other = {"variant": 3, "seed": 9, "key": "f" * 64, "photo_id": "other", "recipe_digest": "b" * 64, "unit": "v"}
    assert key_of(row | other) == key_of(row)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": CannySettings(low=90)},
        {"settings": TileSettings()},
        {"weights": "a" * 64},
        {"place": "cuda white"},
        {"row": {"source_sha256": "c" * 64}},
        {"row": {"width": 128}},
        {"row": {"padding": {"left": 1, "top": 0, "right": 0, "bottom": 0}}},
        {"row": {"transform": None}},
    ],
)
def test_the_key_changes_with_all_that_decides_the_map(decoded: Row, change: dict[str, Any]) -> None:
    row = decoded | {"source_sha256": "a" * 64}
    assert key_of(row | change.pop("row", {}), **change) != key_of(row)
