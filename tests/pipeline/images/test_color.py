"""Colours: the conversion of every mode and of colour profiles to sRGB."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.images.color import to_resizable, to_srgb
from tests.conftest import ROOT

RAMP = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))


def rgb_of(
    image: Image.Image, profile: bytes | None = None, background: str = "white"
) -> tuple[np.ndarray, str | None]:
    """Convert an image; return its pixels as signed numbers, and the name of the profile."""
    converted, name = to_srgb(to_resizable(image), profile, background)
    assert converted.mode == "RGB"
    return np.asarray(converted, np.int16), name  # [H, W, 3], RGB, 0..255


def bgr_profile() -> bytes:
    """Return an RGB profile whose first channel is blue and third is red: that of sRGB with two tags swapped."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = srgb.replace("sRGB".encode("utf-16-be"), "xBGR".encode("utf-16-be"))
    return renamed.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"])  # fmt: skip  # noqa: E501 - the modes
def test_every_mode_keeps_its_appearance(mode: str) -> None:
    grey = Image.fromarray(RAMP)
    if mode == "I":
        image = Image.fromarray(RAMP.astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(RAMP.astype(np.float32) / 255)
    else:
        steps = {"LA": ["LA"], "La": ["LA", "La"], "PA": ["P", "PA"], "RGBa": ["RGBA", "RGBa"]}.get(mode, ["RGB", mode])
        image = grey
        for step in steps:
            image = image.convert(step)
    pixels, name = rgb_of(image)
    assert name is None
    assert np.abs(pixels[..., 0] - RAMP).mean() < {"1": 100, "P": 20, "PA": 20}.get(mode, 3)  # few colours


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_16_bits_are_scaled_by_the_range_of_the_mode(mode: str) -> None:
    order = ">u2" if mode == "I;16B" else "<u2"
    image = Image.frombytes(mode, (64, 48), (RAMP.astype(np.uint16) * 257).astype(order).tobytes())
    pixels, _ = rgb_of(image)
    assert np.abs(pixels[..., 1] - RAMP).max() <= 1


def test_lab_is_converted_to_the_same_colours() -> None:
    colors = np.zeros((4, 4, 3), np.uint8)
    colors[:2], colors[2:] = (200, 30, 40), (20, 60, 180)
    lab = ImageCms.profileToProfile(Image.fromarray(colors), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")  # fmt: skip  # noqa: E501 - one call
    pixels, _ = rgb_of(lab)
    assert np.abs(pixels - colors).max() <= 8  # 8-bit Lab is coarse for saturated blues


@pytest.mark.parametrize(("background", "expected"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48))])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa"])
def test_transparent_pixels_show_the_background(mode: str, background: str, expected: tuple[int, ...]) -> None:
    image = Image.new("LA" if mode == "LA" else "RGBA", (4, 4), (10, 0) if mode == "LA" else (10, 20, 30, 0))
    assert rgb_of(image.convert(mode), background=background)[0][0, 0].tolist() == list(expected)


def test_transparent_palette_entry_shows_the_background() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.info["transparency"] = 0
    image.putpixel((1, 1), 1)
    pixels, _ = rgb_of(image, background="blue")
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[1, 1].tolist() == [200, 0, 0]


def test_profile_is_converted_to_srgb_and_named() -> None:
    pixels, name = rgb_of(Image.new("RGB", (4, 4), (120, 60, 30)), bgr_profile())
    assert np.abs(pixels[0, 0] - (30, 60, 120)).max() <= 1
    assert name is not None
    assert name.startswith("xBGR")


def test_background_is_in_srgb_for_any_profile() -> None:
    image = Image.new("RGBA", (4, 4), (120, 60, 30, 255))
    image.putpixel((0, 0), (1, 2, 3, 0))
    pixels, _ = rgb_of(image, bgr_profile(), background="red")
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert np.abs(pixels[1, 1] - (30, 60, 120)).max() <= 1


def test_srgb_profile_changes_nothing_and_profile_of_another_colour_space_is_ignored() -> None:
    colors = Image.new("RGB", (4, 4), (120, 60, 30))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same, name = rgb_of(colors, srgb)
    assert (name, same[0, 0].tolist()) == (None, [120, 60, 30])
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    unchanged, name = rgb_of(colors, lab)
    assert unchanged[0, 0].tolist() == [120, 60, 30]
    assert name is not None
    assert name.startswith("ignored: ")


def test_a_profile_that_is_too_large_is_ignored() -> None:
    colors, profile = Image.new("RGB", (4, 4), (120, 60, 30)), bgr_profile()
    assert rgb_of(colors, profile.ljust(4 * 2**20, b"\0"))[0][0, 0].tolist() != [120, 60, 30]
    unchanged, name = rgb_of(colors, profile.ljust(4 * 2**20 + 1, b"\0"))
    assert unchanged[0, 0].tolist() == [120, 60, 30]
    assert name is not None
    assert name.startswith("ignored: ")


PROFILES = """
from PIL import Image
from pipeline.images.color import to_srgb
from tests.pipeline.images.test_color import bgr_profile

def memory():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) * 1024

colors, profile = Image.new("RGB", (4, 4)), bgr_profile()
to_srgb(colors, profile, "white")
before = memory()
for number in range(40):
    to_srgb(colors, profile.ljust(4 * 2**20, bytes([number])), "white")
print(memory() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_profiles_of_many_photos_take_little_memory() -> None:
    result = subprocess.run([sys.executable, "-c", PROFILES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 120 * 2**20


@pytest.mark.parametrize("profile", [b"", b"not a profile", b"\0" * 200])
def test_invalid_profile_changes_nothing_and_is_reported(profile: bytes) -> None:
    colors = Image.new("RGB", (4, 4), (120, 60, 30))
    pixels, name = rgb_of(colors, profile)
    assert pixels[0, 0].tolist() == [120, 60, 30]
    assert (name is None) == (profile == b"")
    assert name is None or name.startswith("ignored: ")
