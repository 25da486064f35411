"""Masks: values stay what they are, and lie where the photo's pixels lie."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import LabelError
from pipeline.images.geometry import crop_transform, pad_transform
from pipeline.images.labels import transform_labels
from pipeline.images.masks import fit_mask, nonzero_pixels

NOBODY = np.empty((0, 2))
CROP = crop_transform((512, 256), (64, 64), "crop", NOBODY)


def stored(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def classes(mode: str) -> Image.Image:
    """Return a mask of three values in quarters, of a photo of 512x256."""
    values = np.zeros((256, 512), np.uint8)
    values[:128, 256:], values[128:, 256:] = 1, 7
    if mode == "1":
        return Image.fromarray(values > 0)
    if mode == "I;16":
        return Image.fromarray(values.astype(np.uint16) * 1000)
    if mode == "RGB":
        return Image.fromarray(np.stack([values, values * 2, values * 3], axis=2))
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0, *[9, 9, 9] * 5, 0, 255, 0])
    return image


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB"])
def test_values_and_mode_are_kept(mode: str) -> None:
    before = classes(mode)
    content, visible = fit_mask(stored(before), CROP)
    after = opened(content)
    assert (after.mode, after.size) == (mode, (64, 64))
    assert set(np.unique(np.asarray(after))) == set(np.unique(np.asarray(before)))
    assert visible == pytest.approx(0.5, abs=0.01)
    if mode == "P":
        assert after.getpalette()[:6] == [0, 0, 0, 255, 0, 0]
    half = nonzero_pixels(np.asarray(after))
    assert not half[:, :32].any()
    assert half[:, 32:].all()


@given(
    st.tuples(st.integers(40, 400), st.integers(40, 400)),
    st.sampled_from(["crop", "pad"]),
    st.tuples(*[st.floats(0.1, 0.9)] * 2),
    st.sampled_from([1, 2]),
)
def test_a_rectangle_is_the_box_of_the_same_rectangle(
    source: tuple[int, int], fit: str, share: tuple[float, float], smaller: int
) -> None:
    source = (source[0] * smaller, source[1] * smaller)
    transform = pad_transform(source, (96, 64))[0] if fit == "pad" else crop_transform(source, (96, 64), fit, NOBODY)
    width, height = source
    x, y = (smaller * int(part * side / smaller) for part, side in zip(share, source, strict=True))
    painted = np.zeros((height // smaller, width // smaller), np.uint8)
    painted[y // smaller :, x // smaller :] = 255
    content, visible = fit_mask(stored(Image.fromarray(painted)), transform)
    row = {"boxes": [{"x": x, "y": y, "w": width - x, "h": height - y, "category": None}], "keypoints": None}
    boxes = transform_labels(row, transform, 1e-9)["boxes"]
    rows, columns = np.nonzero(np.asarray(opened(content)))
    if not boxes or min(boxes[0]["w"], boxes[0]["h"]) < 2:
        return  # nothing of it is left, or less than two pixels
    (found,) = boxes
    step = 1 + 2 * smaller * transform.scale_x  # a pixel of either
    assert abs(columns.min() - found["x"]) <= step
    assert abs(rows.min() - found["y"]) <= step
    assert abs(columns.max() + 1 - found["x"] - found["w"]) <= step
    assert abs(rows.max() + 1 - found["y"] - found["h"]) <= step
    assert visible == pytest.approx(found["visible"], abs=0.1)


def test_its_own_orientation_does_not_turn_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    turned, _ = fit_mask(stored(classes("L"), exif=exif), CROP)
    assert np.asarray(opened(turned))[:, 32:].all()


def test_of_nothing_all_is_left() -> None:
    assert fit_mask(stored(Image.new("L", (512, 256))), CROP)[1] == 1.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no picture", "mask_uri: no readable picture"),
        (stored(Image.new("L", (40, 10))), "mask_uri: 40x10 is not of the photo's shape 512x256"),
        (stored(Image.new("CMYK", (512, 256)), "tiff"), "mask_uri: a picture of mode CMYK holds no classes"),
    ],
)
def test_a_bad_mask_is_a_fault(content: bytes, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        fit_mask(content, CROP)
