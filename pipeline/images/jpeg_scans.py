"""Count the scans of a JPEG file.

libjpeg decodes a file with one scan line by line. For a file with several scans it keeps all coefficients in memory, at
the full size of the image, and updates all of them for each scan.
"""

import re
from collections.abc import Iterator

MAX_SCANS = 100  # as in libtiff; encoders write 10 scans, and optimizers of scans fewer than 70
_END, _SCAN = 0xD9, 0xDA  # ISO/IEC 10918-1, table B.1
# Markers with a segment, and the end of the image. In the data of a scan, only 0xFF00 and restarts follow 0xFF.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)


def has_several_scans(content: bytes, components: int, *, progressive: bool) -> bool:
    """Return whether libjpeg keeps the coefficients of a file: it is progressive, or a scan lacks components.

    Args:
        content: The content of the file.
        components: The number of components of the image.
        progressive: Whether the frame is progressive.

    Raises:
        OSError: The file has more than `MAX_SCANS` scans.
    """
    scans = _scan_components(content)
    if next(scans, components) >= components and not progressive:
        return False
    if any(number >= MAX_SCANS for number, _ in enumerate(scans, 1)):
        raise OSError(f"more than {MAX_SCANS} scans")
    return True


def _scan_components(content: bytes) -> Iterator[int]:
    """Yield the number of components of each scan. Data after the end of the image, such as a video, is not read."""
    position = 0
    while (match := _MARKER.search(content, position)) and match[1][0] != _END:
        position = match.end()
        if match[1][0] == _SCAN:
            yield int.from_bytes(content[position + 2 : position + 3])
        position += int.from_bytes(content[position : position + 2])
