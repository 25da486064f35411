"""Masks: their values are kept, and they have the transform of their photo."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import InvalidMaskError, LabelError, MaskShapeError
from pipeline.images.geometry import crop_transform, pad_transform
from pipeline.images.masks import fit_mask, nonzero_pixels

NO_FOCUS = np.empty((0, 2))
CROP = crop_transform((512, 256), (64, 64), "crop", NO_FOCUS)


def encoded(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def big_endian_tiff(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, byteorder=">", compression="zlib")
    return buffer.getvalue()


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def classes(mode: str) -> Image.Image:
    """Return a mask for a photo of 512x256: zero in its left half, and nonzero in its right quarters."""
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
    content, visible = fit_mask(encoded(before), CROP)
    after = decoded(content)
    assert (after.mode, after.size) == (mode, (64, 64))
    assert set(np.unique(np.asarray(after))) == set(np.unique(np.asarray(before)))
    assert visible == pytest.approx(0.5, abs=0.01)
    if mode == "P":
        assert after.getpalette()[:6] == [0, 0, 0, 255, 0, 0]
    half = nonzero_pixels(np.asarray(after))
    assert not half[:, :32].any()
    assert half[:, 32:].all()


@pytest.mark.parametrize(("mode", "kind"), [("I", "<i4"), ("I;16B", ">u2")])
def test_a_tiff_of_other_integers_is_stored_with_16_bits(mode: str, kind: str) -> None:
    values = (np.asarray(classes("L"), np.int32) * 9000).astype(kind)
    content, _ = fit_mask(encoded(Image.frombytes(mode, (512, 256), values.tobytes()), "tiff"), CROP)
    assert decoded(content).mode == "I;16"
    assert set(np.unique(np.asarray(decoded(content)))) == {0, 9000, 63000}


@given(
    st.tuples(st.integers(40, 400), st.integers(40, 400)),
    st.sampled_from(["crop", "pad"]),
    st.tuples(*[st.floats(0.1, 0.9)] * 2),
    st.sampled_from([1, 2]),
)
def test_rectangle_of_a_mask_is_transformed_like_its_corners(
    source: tuple[int, int], fit: str, corner: tuple[float, float], smaller: int
) -> None:
    source = (source[0] * smaller, source[1] * smaller)
    transform = pad_transform(source, (96, 64))[0] if fit == "pad" else crop_transform(source, (96, 64), fit, NO_FOCUS)
    width, height = source
    x, y = (smaller * int(share * side / smaller) for share, side in zip(corner, source, strict=True))
    painted = np.zeros((height // smaller, width // smaller), np.uint8)
    painted[y // smaller :, x // smaller :] = 255
    content, visible = fit_mask(encoded(Image.fromarray(painted)), transform)
    corners = transform.points(np.array([(x, y), (width, height)], np.float64))
    clipped = corners.clip(0, transform.target)
    if (clipped[1] - clipped[0]).min() < 2:
        return  # the visible part of the rectangle is less than two pixels wide or high
    rows, columns = np.nonzero(np.asarray(decoded(content)))
    tolerance = 1 + 2 * smaller * transform.scale_x  # a pixel of the image and two of the mask
    assert np.abs(clipped[0] - (columns.min(), rows.min())).max() <= tolerance
    assert np.abs(clipped[1] - (columns.max() + 1, rows.max() + 1)).max() <= tolerance
    assert visible == pytest.approx(np.prod(clipped[1] - clipped[0]) / np.prod(corners[1] - corners[0]), abs=0.1)


def test_orientation_of_a_mask_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    fitted, _ = fit_mask(encoded(classes("L"), exif=exif), CROP)
    assert np.asarray(decoded(fitted))[:, 32:].all()


def test_empty_mask_is_fully_visible() -> None:
    assert fit_mask(encoded(Image.new("L", (512, 256))), CROP)[1] == 1.0


def test_a_mask_has_at_most_the_pixels_of_the_limit() -> None:
    content = encoded(classes("L"))
    assert fit_mask(content, CROP, 512 * 256)[1] == pytest.approx(0.5, abs=0.01)
    with pytest.raises(InvalidMaskError):
        fit_mask(content, CROP, 512 * 256 - 1)


def test_the_shape_of_a_mask_is_checked_before_its_pixels_are_decoded() -> None:
    content = encoded(Image.effect_noise((40, 10), 90))
    with pytest.raises(MaskShapeError):
        fit_mask(content[:-200], CROP)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"not an image", InvalidMaskError),
        (encoded(Image.new("CMYK", (512, 256)), "tiff"), InvalidMaskError),
        (encoded(Image.new("I", (512, 256), 70000), "tiff"), InvalidMaskError),
        (big_endian_tiff(np.full((256, 512), 7, np.int16)), InvalidMaskError),
        (b"P5 512 256 1000\n" + bytes(2 * 512 * 256), InvalidMaskError),
        (encoded(Image.new("L", (40, 10))), MaskShapeError),
    ],
)
def test_invalid_mask_is_an_error(content: bytes, error: type[LabelError]) -> None:
    with pytest.raises(error, match="mask_uri"):
        fit_mask(content, CROP)
