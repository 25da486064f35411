"""The scans of a JPEG file are read from its markers, as libjpeg reads them."""

import io

import pytest
from PIL import Image

from pipeline.images.jpeg_scans import MAX_SCANS, has_several_scans
from tests.jpegs import jpeg_of_scans


def encoded(**options: bool) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((99, 80), 90).convert("RGB").save(buffer, "jpeg", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(), False),
        (jpeg_of_scans(16, 3, [[1, 2, 3]]), False),
        (jpeg_of_scans(16, 3, [[1], [2], [3]]), True),
        (jpeg_of_scans(16, 3, [[1, 2], [3]]), True),
        (jpeg_of_scans(16, 1, [[1]]), True),
    ],
)
def test_a_scan_without_all_components_is_one_of_several(content: bytes, *, expected: bool) -> None:
    assert has_several_scans(content, 3, progressive=False) == expected


def test_a_progressive_file_has_several_scans() -> None:
    assert has_several_scans(encoded(progressive=True), 3, progressive=True)


def test_scans_are_counted_up_to_a_limit() -> None:
    assert has_several_scans(jpeg_of_scans(16, 1, [[1]] * MAX_SCANS, progressive=True), 1, progressive=True)
    with pytest.raises(OSError, match="scans"):
        has_several_scans(jpeg_of_scans(16, 1, [[1]] * (MAX_SCANS + 1), progressive=True), 1, progressive=True)


def test_segments_and_data_after_the_image_are_not_searched_for_scans() -> None:
    scans, content = b"\xff\xda\0\2" * (MAX_SCANS + 1), encoded(progressive=True)
    comment = b"\xff\xfe" + (len(scans) + 2).to_bytes(2) + scans
    assert has_several_scans(content[:2] + comment + content[2:] + scans, 3, progressive=True)
    assert not has_several_scans(encoded()[:2] + comment + encoded()[2:], 3, progressive=False)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xff\xda\0", encoded()[:200]])
def test_a_truncated_file_has_no_scan_or_an_empty_one(content: bytes) -> None:
    has_several_scans(content, 3, progressive=False)
