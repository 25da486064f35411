"""Colours: every mode looks as it did, profiles are brought to sRGB, and what cannot be read changes nothing."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.images.color import resizable, to_srgb

RAMP = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))


def rgb_of(
    image: Image.Image, profile: bytes | None = None, background: str = "white"
) -> tuple[np.ndarray, str | None]:
    found, name = to_srgb(resizable(image), profile, background)
    assert found.mode == "RGB"
    return np.asarray(found, np.int16), name


def exchanged() -> bytes:
    """Return a profile of RGB whose first channel is blue and whose third is red: sRGB's with two tags exchanged."""
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = whole.replace("sRGB".encode("utf-16-be"), "xBGR".encode("utf-16-be"))
    return renamed.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"])  # fmt: skip  # noqa: E501 - the modes
def test_every_mode_keeps_its_look(mode: str) -> None:
    grey = Image.fromarray(RAMP)
    if mode == "I":
        image = Image.fromarray(RAMP.astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(RAMP.astype(np.float32) / 255)
    else:
        way = {"LA": ["LA"], "La": ["LA", "La"], "PA": ["P", "PA"], "RGBa": ["RGBA", "RGBa"]}.get(mode, ["RGB", mode])
        image = grey
        for step in way:
            image = image.convert(step)
    found, name = rgb_of(image)
    assert name is None
    assert np.abs(found[..., 0] - RAMP).mean() < {"1": 100, "P": 20, "PA": 20}.get(mode, 3)  # two colours; a palette


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_16_bits_are_scaled_by_their_own_range(mode: str) -> None:
    order = ">u2" if mode == "I;16B" else "<u2"
    image = Image.frombytes(mode, (64, 48), (RAMP.astype(np.uint16) * 257).astype(order).tobytes())
    found, _ = rgb_of(image)
    assert np.abs(found[..., 1] - RAMP).max() <= 1


def test_lab_becomes_its_colours() -> None:
    colors = np.zeros((4, 4, 3), np.uint8)
    colors[:2], colors[2:] = (200, 30, 40), (20, 60, 180)
    lab = ImageCms.profileToProfile(Image.fromarray(colors), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")  # fmt: skip  # noqa: E501 - one call
    found, _ = rgb_of(lab)
    assert np.abs(found - colors).max() <= 8  # Lab has 8 bits here, and blues lie far out in it


@pytest.mark.parametrize(("background", "expected"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48))])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa"])
def test_what_is_transparent_shows_the_background(mode: str, background: str, expected: tuple[int, ...]) -> None:
    image = Image.new("LA" if mode == "LA" else "RGBA", (4, 4), (10, 0) if mode == "LA" else (10, 20, 30, 0))
    assert rgb_of(image.convert(mode), background=background)[0][0, 0].tolist() == list(expected)


def test_a_transparent_palette_shows_it_too() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.info["transparency"] = 0
    image.putpixel((1, 1), 1)
    found, _ = rgb_of(image, background="blue")
    assert found[0, 0].tolist() == [0, 0, 255]
    assert found[1, 1].tolist() == [200, 0, 0]


def test_a_profile_is_brought_to_srgb_and_named() -> None:
    found, name = rgb_of(Image.new("RGB", (4, 4), (120, 60, 30)), exchanged())
    assert np.abs(found[0, 0] - (30, 60, 120)).max() <= 1
    assert name is not None
    assert name.startswith("xBGR")


def test_transparency_stands_over_the_background_in_srgb() -> None:
    image = Image.new("RGBA", (4, 4), (120, 60, 30, 255))
    image.putpixel((0, 0), (1, 2, 3, 0))
    found, _ = rgb_of(image, exchanged(), background="red")
    assert found[0, 0].tolist() == [255, 0, 0]
    assert np.abs(found[1, 1] - (30, 60, 120)).max() <= 1


def test_srgb_costs_nothing_and_another_kind_of_colours_is_ignored() -> None:
    colors = Image.new("RGB", (4, 4), (120, 60, 30))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same, name = rgb_of(colors, srgb)
    assert (name, same[0, 0].tolist()) == (None, [120, 60, 30])
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    kept, name = rgb_of(colors, lab)
    assert kept[0, 0].tolist() == [120, 60, 30]
    assert name is not None
    assert name.startswith("ignored: ")


@pytest.mark.parametrize("profile", [b"", b"no profile", b"\0" * 200])
def test_a_profile_that_cannot_be_read_changes_nothing_and_is_said(profile: bytes) -> None:
    colors = Image.new("RGB", (4, 4), (120, 60, 30))
    found, name = rgb_of(colors, profile)
    assert found[0, 0].tolist() == [120, 60, 30]
    assert (name is None) == (profile == b"")
    assert name is None or name.startswith("ignored: ")
