"""Photos of every format are decoded to upright sRGB, with their labels in place; broken photos are errors."""

import io
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import ImageError, InvalidBoxError, InvalidMaskError, TooManyPixelsError
from pipeline.images.photo import ORIENTATION_TAG, read_upright
from pipeline.steps.canvas import canvas_padding, canvas_transform
from pipeline.steps.decode import Geometry, decode
from schemas.row_parts import Labels, ManifestBox, PaddingColumns
from schemas.work import Decoded
from tests.rows import fetched_row

pillow_heif.register_heif_opener()  # unlike pi_heif, pillow_heif can also encode
BUCKETS = ((128, 128), (192, 128), (128, 192))
# The transposition of Pillow that converts an upright image to the stored image, by EXIF orientation.
STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
FORMATS = {"jpeg": {"quality": 95}, "png": {}, "webp": {"lossless": True}, "tiff": {}, "bmp": {}, "heif": {"quality": 90}, "avif": {"quality": 90}, "mpo": {"quality": 95}}  # fmt: skip  # noqa: E501 - a table
WITH_EXIF = ["jpeg", "png", "webp", "tiff", "mpo", "avif"]  # formats that store an EXIF orientation


def stored(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def stored_in_orientation(upright: Image.Image, orientation: int, kind: str = "png", **options: Any) -> bytes:
    """Return the file of an upright image, stored with an EXIF orientation."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    image = upright if orientation == 1 else upright.transpose(Image.Transpose(STORED[orientation]))
    return stored(image, kind, exif=exif, **options)


def decoded_by(
    content: bytes, fit: str = "crop", background: str = "white", mask: bytes | None = None, **planned: Any
) -> Decoded:
    return decode(fetched_row(content, mask=mask, planned=planned), Geometry(BUCKETS, fit, background, 0.25))


def blob(width: int, height: int, x: float, y: float, radius: float) -> Image.Image:
    """Return a black image with a soft white spot centred on a point."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return Image.fromarray(np.rint(255 * spot).astype(np.uint8)).convert("RGB")


def brightness_centroid(grey: NDArray[Any]) -> NDArray[np.float64]:
    """Return the centroid (x, y) of the brightness of an image [H, W], in pixels."""
    values = np.maximum(grey.astype(np.float64) - 24, 0)  # removes the noise of lossy formats
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]] + 0.5
    return np.array([(columns * values).sum(), (rows * values).sum()]) / values.sum()


@pytest.mark.slow
@given(
    st.tuples(st.integers(70, 420), st.integers(70, 420)),
    st.integers(1, 8),
    st.sampled_from(["crop", "people", "pad"]),
    st.sampled_from(sorted(FORMATS)),
    st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
)
@settings(max_examples=120)
def test_the_transform_gives_the_position_of_a_point(
    size: tuple[int, int], orientation: int, fit: str, kind: str, share: tuple[float, float]
) -> None:
    orientation = orientation if kind in WITH_EXIF else 1
    width, height = size
    x, y = width * share[0], height * share[1]
    upright = blob(width, height, x, y, radius=min(size) / 24)
    row = decoded_by(stored_in_orientation(upright, orientation, kind, **FORMATS[kind]), fit)
    assert (row.canvas.source_width, row.canvas.source_height) == size
    assert row.canvas.transform.orientation == (1 if kind == "tiff" else orientation)  # Pillow applies it itself
    _assert_spot(row, (x, y))


@pytest.mark.slow
@given(
    st.sampled_from([(1999, 1501), (1203, 2001), (1283, 1283)]),
    st.integers(1, 8),
    st.sampled_from(["crop", "pad"]),
    st.tuples(st.floats(0.25, 0.75), st.floats(0.25, 0.75)),
)
@settings(max_examples=24)
def test_a_large_jpeg_is_decoded_at_a_smaller_scale(
    size: tuple[int, int], orientation: int, fit: str, share: tuple[float, float]
) -> None:
    x, y = size[0] * share[0], size[1] * share[1]
    row = decoded_by(stored_in_orientation(blob(*size, x, y, radius=40), orientation, "jpeg", quality=90), fit)
    assert row.canvas.transform.shrink == 8
    assert (row.canvas.source_width, row.canvas.source_height) == size
    _assert_spot(row, (x, y))


def _assert_spot(row: Decoded, point: tuple[float, float]) -> None:
    """Assert that the spot is within half a pixel of the transformed point, and that the inverse returns the point."""
    transform, image = canvas_transform(row.canvas), canvas_padding(row.canvas).cut(row.pixels)
    (expected,) = transform.points(np.array([point]))
    if not ((expected > 14) & (expected < np.array(transform.target) - 14)).all():
        return  # at least a part of the spot is cropped
    found = brightness_centroid(image[..., 1])
    assert np.abs(found - expected).max() < 0.5
    assert np.abs(transform.to_photo(found[None]) - point).max() < 0.5 / min(transform.scale_x, transform.scale_y)


def test_a_photo_is_scaled_to_its_bucket(data: Path) -> None:
    decoded = decode(
        fetched_row((data / "coffee.png").read_bytes()),
        Geometry(((512, 512), (640, 448)), "crop", "white", 0.25),
    )
    assert (decoded.canvas.source_width, decoded.canvas.source_height) == (600, 400)
    assert (decoded.canvas.width, decoded.canvas.height) == (640, 448)
    assert decoded.pixels.shape == (448, 640, 3)
    assert decoded.canvas.transform.scale_x == pytest.approx(448 / 400)
    assert decoded.canvas.source_profile is None


def test_padding_repeats_the_edge_around_the_whole_photo() -> None:
    photo = Image.new("RGB", (200, 100), "red")
    photo.paste("blue", (0, 90, 200, 100))
    decoded = decoded_by(stored(photo), "pad")
    assert (decoded.canvas.width, decoded.canvas.height) == (192, 128)
    assert decoded.canvas.padding == PaddingColumns(0, 16, 0, 16)
    canvas = decoded.pixels
    assert (canvas[:16] == (255, 0, 0)).all()
    assert (canvas[-16:] == (0, 0, 255)).all()
    assert canvas_transform(decoded.canvas).target == (192, 96)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright(orientation: int) -> None:
    upright = Image.new("RGB", (40, 30), "blue")
    upright.paste("red", (0, 0, 20, 15))  # the upper left corner is red
    found = read_upright(stored_in_orientation(upright, orientation))
    assert found.size == (40, 30)
    assert found.getpixel((2, 2)) == (255, 0, 0)
    assert found.getpixel((37, 27)) == (0, 0, 255)
    assert found.getpixel((37, 2)) == (0, 0, 255)


def test_an_unknown_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 11
    assert decoded_by(stored(Image.new("RGB", (40, 30)), exif=exif)).canvas.transform.orientation == 1


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "avif", "mpo", "tiff"])
def test_the_first_frame_of_an_animation_is_used(kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue", "green")]
    found = read_upright(stored(frames[0], kind, save_all=True, append_images=frames[1:]))
    red, green, blue = found.getpixel((30, 30))
    assert red > 240
    assert max(green, blue) < 20


def test_heic_is_read() -> None:
    photo = Image.new("RGB", (64, 48), (200, 40, 60))
    decoded = decoded_by(stored(photo, "heif", quality=95))
    assert np.abs(decoded.pixels[5, 5].astype(int) - (200, 40, 60)).max() < 6


def test_a_smaller_scale_hardly_changes_pixels(data: Path) -> None:
    whole = Image.open(data / "rocket.jpg").resize((3840, 2560), Image.Resampling.BICUBIC)
    decoded = decoded_by(stored(whole, "jpeg", quality=92))
    assert decoded.canvas.transform.shrink == 8
    full = canvas_transform(decoded.canvas).apply(
        Image.open(io.BytesIO(stored(whole, "jpeg", quality=92))), Image.Resampling.LANCZOS
    )
    difference = np.abs(decoded.pixels.astype(int) - np.asarray(full, int))
    assert difference.mean() < 1


def test_transparent_pixels_show_the_background_of_the_recipe() -> None:
    clear = stored(Image.new("RGBA", (4, 4), (10, 20, 30, 0)))
    assert read_upright(clear).getpixel((0, 0)) == (255, 255, 255)
    decoded = decoded_by(clear, background="#102030")
    assert decoded.pixels[0, 0].tolist() == [16, 32, 48]


def test_a_crop_around_people_keeps_them() -> None:
    wide = stored(blob(600, 200, 500, 100, radius=20))
    person = [500.0, 100.0, 2.0]
    centred = decoded_by(wide, "people", pose_keypoints=(tuple(person),))
    assert brightness_centroid(centred.pixels[..., 0])[0] == pytest.approx(96, abs=35)
    without_people = decoded_by(wide, "people", pose_keypoints=())
    assert without_people.pixels.max() < 40  # without people, the crop is centred, and does not contain the spot


def test_people_are_detected_if_the_manifest_has_none() -> None:
    shapes = []

    def find(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        shapes.append(pixels.shape)
        return brightness_centroid(pixels[..., 0])[None]

    content = stored_in_orientation(blob(600, 200, 500, 100, radius=20), 6, "jpeg", quality=95)
    found = decode(fetched_row(content), Geometry(BUCKETS, "people", "white", 0.25), find)
    assert shapes == [(128, 384, 3)]
    # The spot is not centred, because the crop ends at the edge of the photo.
    assert brightness_centroid(found.pixels[..., 0])[0] == pytest.approx(128, abs=1)
    without_people = decode(
        fetched_row(content, planned={"pose_keypoints": ()}), Geometry(BUCKETS, "people", "white", 0.25), find
    )
    assert len(shapes) == 1
    assert without_people.pixels.max() < 40


def test_labels_and_mask_are_transformed() -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[:, 100:] = 3
    box = ManifestBox(50.0, 10.0, 100.0, 50.0, "cat")
    photo = stored(Image.new("RGB", (200, 100), "red"))
    decoded = decoded_by(
        photo, "pad", boxes=(box,), keypoints=((100.0, 50.0, 2.0),), mask=stored(Image.fromarray(mask))
    )
    labels = decoded.canvas.labels
    (found,) = labels.boxes or ()
    assert (found.x, found.y, found.w, found.h) == pytest.approx((48, 9.6, 96, 48))
    assert [each.points for each in labels.keypoints or ()] == [pytest.approx((96, 48, 2))]
    assert labels.mask_visible == 1
    fitted = np.asarray(Image.open(io.BytesIO(decoded.canvas.mask or b"")))
    assert fitted.shape == (96, 192)
    assert (fitted[:, 96:] == 3).all()
    assert not fitted[:, :96].any()


def test_an_invalid_label_leaves_the_canvas_in_the_failed_row() -> None:
    photo, box = stored(Image.new("RGB", (200, 100), "red")), ManifestBox(0.0, 0.0, 200.0, 100.0, "cat")
    expected = decoded_by(photo, boxes=(box,)).canvas
    with pytest.raises(InvalidMaskError) as of_mask:
        decoded_by(photo, boxes=(box,), mask=b"none")
    assert of_mask.value.known == {"canvas": expected}
    with pytest.raises(InvalidBoxError) as of_box:
        decoded_by(photo, boxes=(box, None))
    assert of_box.value.known == {"canvas": replace(expected, labels=Labels(None, None))}


def test_a_truncated_photo_is_an_error(data: Path) -> None:
    whole = (data / "rocket.jpg").read_bytes()
    with pytest.raises(ImageError):
        read_upright(whole[: len(whole) // 2])


def test_too_many_pixels_are_an_error() -> None:
    row = fetched_row(stored(Image.new("RGB", (100, 100))))
    with pytest.raises(TooManyPixelsError):
        decode(row, Geometry(BUCKETS, "crop", "white", 0.25, max_pixels=9999))
    with pytest.raises(TooManyPixelsError):
        read_upright(row.photo, max_pixels=9999)
    masked = fetched_row(stored(Image.new("RGB", (50, 50))), mask=stored(Image.new("L", (100, 100))))
    with pytest.raises(InvalidMaskError):
        decode(masked, Geometry(BUCKETS, "crop", "white", 0.25, max_pixels=9999))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(["png", "jpeg", "gif", "webp", "tiff", "bmp", "heif", "avif", "mpo"]), damage=st.data())
def test_damaged_bytes_are_decoded_or_are_an_image_error(kind: str, damage: st.DataObject) -> None:
    content = bytearray(_noise(kind))
    for _ in range(damage.draw(st.integers(1, 6))):
        content[damage.draw(st.integers(0, len(content) - 1))] = damage.draw(st.integers(0, 255))
    try:
        found = decoded_by(bytes(content))
    except ImageError:
        return
    assert found.pixels.shape == (found.canvas.height, found.canvas.width, 3)


@cache
def _noise(kind: str) -> bytes:
    return stored(Image.fromarray(np.random.default_rng(1).integers(0, 255, (24, 24, 3), np.uint8)), kind)
