"""What Pillow is asked and what it may say: nothing of it names a place in memory."""

import io

import pytest
from PIL import Image

from pipeline.images.formats import DECODER_ERRORS, EXTENSIONS, FORMATS, describe_decode_error, same_aspect_ratio


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_said_is_the_same_every_time(content: bytes) -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(DECODER_ERRORS) as caught, Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
        said.add(describe_decode_error(caught.value))  # type: ignore[arg-type]  # one of BROKEN
    assert len(said) == 1
    assert "0x" not in said.pop()


def test_every_extension_is_of_a_format_that_is_read() -> None:
    Image.init()
    known = {extension for extension, name in Image.registered_extensions().items() if name in {*FORMATS, "MPO"}}
    assert set(EXTENSIONS) <= known


@pytest.mark.parametrize(
    ("size", "same"), [((400, 300), True), ((200, 150), True), ((201, 150), True), ((300, 400), False), ((1, 1), False)]
)
def test_a_smaller_picture_of_the_same_shape(size: tuple[int, int], same: bool) -> None:  # noqa: FBT001 - expected
    assert same_aspect_ratio(size, (400, 300)) == same
