"""Image formats, and the errors of their decoders."""

import io
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from pipeline.errors import (
    ImageError,
    InvalidImageError,
    TooManyPixelsError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from pipeline.images.formats import (
    DECODER_ERRORS,
    EXTENSIONS,
    FORMATS,
    describe_decode_error,
    image_error,
    same_aspect_ratio,
)

pillow_heif.register_heif_opener()  # for encoding: pi_heif, which the pipeline uses, only decodes


def decode_error(content: bytes) -> Exception:
    """Return the exception of Pillow for an invalid file."""
    with pytest.raises(DECODER_ERRORS) as caught, Image.open(io.BytesIO(content), formats=FORMATS) as image:  # type: ignore[type-var]  # DECODER_ERRORS has exceptions only
        image.load()
    return caught.value


def encoded(kind: str, **options: Any) -> bytes:
    """Return a noisy image file, so that its pixels take most of the file."""
    buffer = io.BytesIO()
    Image.effect_noise((128, 128), 90).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_description_is_reproducible(content: bytes) -> None:
    descriptions = {describe_decode_error(decode_error(content)) for _ in range(2)}
    assert len(descriptions) == 1
    assert "0x" not in descriptions.pop()  # the address of an object in memory


@pytest.mark.parametrize("content", [b"", b"not an image", b"<svg></svg>", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_file_of_another_format_is_unsupported(content: bytes) -> None:
    assert type(image_error(decode_error(content))) is UnsupportedFormatError


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "PPM", "TIFF"])
def test_incomplete_file_is_truncated(kind: str) -> None:
    content = encoded(kind)
    assert type(image_error(decode_error(content[: len(content) * 99 // 100]))) is TruncatedImageError


def test_end_of_file_is_truncated() -> None:
    assert type(image_error(EOFError())) is TruncatedImageError


def test_large_image_has_too_many_pixels() -> None:
    error = Image.DecompressionBombError("Image size (999999999 pixels) exceeds limit")
    assert type(image_error(error)) is TooManyPixelsError


@pytest.mark.parametrize("error", [ValueError("bad chunk"), OSError("decoder error -2")])
def test_other_errors_are_of_an_invalid_image(error: Exception) -> None:
    assert type(image_error(error)) is InvalidImageError


@pytest.mark.parametrize("kind", DECODER_ERRORS)
def test_each_decoder_error_is_an_image_error(kind: type[Exception]) -> None:
    assert isinstance(image_error(kind()), ImageError)


def test_each_extension_belongs_to_a_supported_format() -> None:
    Image.init()
    known = {extension for extension, name in Image.registered_extensions().items() if name in {*FORMATS, "MPO"}}
    assert set(EXTENSIONS) <= known


@pytest.mark.parametrize(
    ("size", "same"), [((400, 300), True), ((200, 150), True), ((201, 150), True), ((300, 400), False), ((1, 1), False)]
)
def test_smaller_image_has_the_same_aspect_ratio(size: tuple[int, int], same: bool) -> None:  # noqa: FBT001 - a parameter of a test
    assert same_aspect_ratio(size, (400, 300)) == same
