"""The pixels that are really decoded are limited, and decoding one takes a known amount of memory."""

import io
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InvalidImageError, TooManyPixelsError
from pipeline.images.geometry import crop_transform
from pipeline.images.opening import BYTES_PER_PIXEL, load_image, open_image
from pipeline.images.photo import open_photo, read_upright
from tests.conftest import ROOT
from tests.jpegs import jpeg_of_scans

SIDE = 2000  # pixels of the images whose memory is measured
BASE = 40 * 2**20  # bytes that do not depend on the size of an image
OPTIONS: dict[str, dict[str, int]] = {"avif": {"speed": 10}, "png": {"compress_level": 1}, "webp": {"method": 0}}
FORMATS = ["jpg", "cmyk.jpg", "png", "rgba.png", "la.png", "p.png", "16.png", "float.tif", "rgba.webp", "avif", "bmp"]


def jpeg_of(side: int, **options: bool) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(buffer, "jpeg", **options)
    return buffer.getvalue()


def decode(content: bytes, target: int, max_pixels: int) -> Image.Image:
    """Decode a square photo to a square image, as the decode step does."""
    with open_photo(content, max_pixels) as photo:
        transform = crop_transform(photo.size, (target, target), "crop", np.empty((0, 2)))
        photo.shrink_to(transform.scale_x)
        return photo.to_srgb(transform, "white")[0]


def test_a_jpeg_counts_at_the_scale_at_which_it_is_decoded() -> None:
    content = jpeg_of(800)
    assert decode(content, 100, 100 * 100).size == (100, 100)
    with pytest.raises(TooManyPixelsError):
        decode(content, 200, 200 * 200 - 1)
    with pytest.raises(TooManyPixelsError):
        decode(content, 800, 800 * 800 - 1)


SCANS = {
    "progressive": (jpeg_of(800, progressive=True), 3),
    "progressive cmyk": (jpeg_of_scans(800, 4, [[1, 2, 3, 4]], progressive=True), 4),
    "sequential": (jpeg_of_scans(800, 3, [[1], [2], [3]]), 3),
}


@pytest.mark.parametrize("kind", SCANS)
def test_a_jpeg_of_several_scans_counts_the_memory_of_its_coefficients(kind: str) -> None:
    content, components = SCANS[kind]
    counted = 800 * 800 * 2 * components // BYTES_PER_PIXEL
    with pytest.raises(TooManyPixelsError):
        decode(content, 100, counted - 1)
    assert decode(content, 100, counted).size == (100, 100)


def test_a_jpeg_of_one_scan_for_all_components_counts_no_coefficients() -> None:
    assert decode(jpeg_of_scans(800, 3, [[1, 2, 3]]), 100, 100 * 100).size == (100, 100)


def test_a_jpeg_of_too_many_scans_is_invalid() -> None:
    with pytest.raises(InvalidImageError):
        decode(jpeg_of_scans(80, 1, [[1]] * 1000, progressive=True), 8, 10**6)


def png_of_chunks(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "png")
    head, end = buffer.getvalue()[:33], buffer.getvalue()[33:]  # after the header of the image
    return head + (b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4)) * number + end


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (b"P6 #" + b"x" * 1000 + b"\n1 1 255\nabc", b"P6 #" + b"x" * 2**17 + b"\n1 1 255\nabc"),
        (b"P6 " + b" " * 1000 + b"1 1 255\nabc", b"P6 " + b" " * 2**17 + b"1 1 255\nabc"),
        (png_of_chunks(1000), png_of_chunks(2**16)),
    ],
    ids=["comment", "spaces", "chunks"],
)
def test_long_headers_are_invalid(short: bytes, long: bytes) -> None:
    assert read_upright(short).size
    with pytest.raises(InvalidImageError):
        read_upright(long)


@pytest.mark.parametrize("kind", ["png", "gif", "webp", "bmp", "tiff"])
def test_other_formats_count_at_their_full_size(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (100, 80)).save(buffer, kind)
    assert load_image(buffer.getvalue(), 8000).size == (100, 80)
    with pytest.raises(Image.DecompressionBombError):
        load_image(buffer.getvalue(), 7999)


def test_the_limit_of_pillow_is_kept_for_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with open_image(io.BytesIO(jpeg_of(100))) as image:
        assert image.size == (100, 100)
    assert Image.MAX_IMAGE_PIXELS == 10


MEASUREMENT = """
import json, sys
from tests.pipeline.images.test_opening import decode

def memory(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024

used = {}
for name in sys.argv[2:]:
    path = f"{sys.argv[1]}/{name}"
    decode(open(path + ".small", "rb").read(), 64, 10**9)  # loads the decoder
    content = open(path, "rb").read()
    open("/proc/self/clear_refs", "w").write("5")  # resets the peak
    before = memory("VmRSS")
    decode(content, 256, 10**9)
    used[name] = memory("VmHWM") - before
print(json.dumps(used))
"""


def write_image(path: Path, name: str, side: int) -> None:
    """Write a noisy square image in the format and mode of a name such as `rgba.png`."""
    noise = np.random.default_rng(0).integers(0, 255, (side // 20, side // 20, 4), np.uint8)
    image = Image.fromarray(noise).resize((side, side))
    mode, _, kind = name.rpartition(".")
    if mode in {"16", "float"}:
        grey = np.asarray(image.convert("L"))
        image = Image.fromarray(grey.astype(np.uint16) * 257 if mode == "16" else grey.astype(np.float32))
    elif mode != "rgba":
        image = image.convert("RGB").convert(mode.upper() or "RGB")
    image.save(path, {"jpg": "jpeg", "tif": "tiff"}.get(kind, kind), **OPTIONS.get(kind, {}))


def measured(folder: Path, names: list[str]) -> dict[str, int]:
    """Decode files of a folder in another process. Returns the bytes of memory that each took at most, by name."""
    command = [sys.executable, "-c", MEASUREMENT, str(folder), *names]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(result.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_decoding_takes_no_more_memory_than_a_process_reserves(tmp_path: Path) -> None:
    for name in FORMATS:
        write_image(tmp_path / name, name, SIDE)
        write_image(tmp_path / f"{name}.small", name, 100)
    used = measured(tmp_path, FORMATS)
    assert used.keys() == set(FORMATS)
    assert {name: number for name, number in used.items() if number > SIDE * SIDE * BYTES_PER_PIXEL + BASE} == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_jpeg_of_several_scans_takes_no_more_memory_than_it_counts(tmp_path: Path) -> None:
    for components in (1, 3, 4):
        scans = [[number] for number in range(1, components + 1)]
        for progressive in (False, True):
            name = f"{components}-{progressive}"
            for path, side in ((tmp_path / name, 2 * SIDE), (tmp_path / f"{name}.small", 100)):
                path.write_bytes(jpeg_of_scans(side, components, scans, progressive=progressive))
    names = [path.name for path in tmp_path.iterdir() if path.suffix != ".small"]
    for name, used in measured(tmp_path, names).items():
        assert used < (2 * SIDE) ** 2 * 2 * int(name[0]) + BASE, name
