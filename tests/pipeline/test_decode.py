"""Decoding: every kind of picture becomes upright RGB, every broken one a fault."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.decode import ORIENTATION_TAG, decode, read_upright
from pipeline.faults import DecodeFault
from schemas.work import Row


def stored(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_photo_becomes_pixels_of_its_bucket(row: Row, data: Path) -> None:
    decoded = decode(row | {"photo_bytes": (data / "coffee.png").read_bytes()}, [(512, 512), (640, 448)], "crop")
    assert (decoded["source_width"], decoded["source_height"]) == (600, 400)
    assert (decoded["width"], decoded["height"]) == (640, 448)
    assert len(decoded["pixels"]) == 640 * 448 * 3
    assert "photo_bytes" not in decoded
    assert decoded["transform"]["scale_x"] == pytest.approx(448 / 400)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (40, 30), "blue")
    upright.paste("red", (0, 0, 20, 15))  # the upper left corner is red
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that store an upright picture so
    turned = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    found, said = read_upright(stored(turned, exif=exif))
    assert (found.size, said) == ((40, 30), orientation)
    assert found.getpixel((2, 2)) == (255, 0, 0)
    assert found.getpixel((37, 27)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_every_mode_becomes_rgb_of_the_same_look(mode: str) -> None:
    ramp = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))
    grey = Image.fromarray(ramp)
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(ramp.astype(np.float32) / 255)
    else:
        image = grey.convert("RGB").convert(mode) if mode != "LA" else grey.convert("LA")
    found, _ = read_upright(stored(image, "png" if mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"} else "tiff"))
    assert found.mode == "RGB"
    difference = np.abs(np.asarray(found, np.int16)[..., 0] - ramp).mean()
    assert difference < {"1": 100, "P": 20}.get(mode, 3)  # two colours; the web palette


def test_what_is_transparent_stands_on_white() -> None:
    found, _ = read_upright(stored(Image.new("RGBA", (4, 4), (10, 20, 30, 0))))
    assert found.getpixel((0, 0)) == (255, 255, 255)


def test_a_truncated_photo_is_a_fault(data: Path) -> None:
    whole = (data / "rocket.jpg").read_bytes()
    with pytest.raises(DecodeFault, match="no readable picture"):
        read_upright(whole[: len(whole) // 2])


def test_a_decompression_bomb_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DecodeFault, match="too many pixels"):
        read_upright(stored(Image.new("RGB", (100, 100))))


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(["png", "jpeg", "gif", "webp", "tiff", "bmp"]), damage=st.data())
def test_damaged_bytes_decode_or_are_a_fault_and_nothing_else(kind: str, damage: st.DataObject) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (24, 24, 3), np.uint8)
    content = bytearray(stored(Image.fromarray(noise), kind))
    for _ in range(damage.draw(st.integers(1, 6))):
        content[damage.draw(st.integers(0, len(content) - 1))] = damage.draw(st.integers(0, 255))
    try:
        found, _ = read_upright(bytes(content))
    except DecodeFault:
        return
    assert found.mode == "RGB"
