"""JPEG files that Pillow does not write: with scans of single components, of four components, and of many scans."""

from struct import pack

CODES_0 = bytes([1, *[0] * 15])  # a Huffman table of one symbol, with the code 0
START, END = b"\xff\xd8", b"\xff\xd9"
TABLES = b"\xff\xdb\0\x43\0" + b"\1" * 64 + b"\xff\xc4\0\x14\0" + CODES_0 + b"\0" + b"\xff\xc4\0\x14\x10" + CODES_0


def jpeg_of_scans(side: int, components: int, scans: list[list[int]], *, progressive: bool = False) -> bytes:
    """Return a grey square JPEG without subsampling.

    Args:
        side: Its width and height.
        components: The number of its components.
        scans: The components of each scan, from 1.
        progressive: Whether the frame is progressive. Its scans have the DC coefficients only.
    """
    frame = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    parts = [START, TABLES + b"\0", b"\xff", b"\xc2" if progressive else b"\xc0"]
    parts += [pack(">HBHHB", 8 + len(frame), 8, side, side, components), frame]
    bits = (1 if progressive else 2) * (-(-side // 8)) ** 2
    for scan in scans:
        names = b"".join(bytes([component, 0]) for component in scan)
        parts += [b"\xff\xda", pack(">HB", 6 + len(names), len(scan)), names, b"\0\0\0" if progressive else b"\0\x3f\0"]
        parts.append(bytes(-(-bits * len(scan) // 8)))
    return b"".join([*parts, END])
