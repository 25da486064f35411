"""Convert images of any mode and colour space that Pillow reads to 8-bit sRGB.

The conversion has two steps. `to_resizable` converts modes whose values cannot be averaged, such as palettes, single
bits and hues. Then the caller resizes the image, and `to_srgb` applies the colour profile. The profile is applied
last because that is about a hundred times faster on the resized image than on the photo.
"""

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms, ImageColor

SRGB = ImageCms.createProfile("sRGB")
INTENT = ImageCms.Intent.PERCEPTUAL  # as in browsers; without a perceptual table, LittleCMS uses relative colorimetric
_COLOR_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}  # Pillow mode -> signature of ICC.1:2010
_MAX_16_BIT = 65535.0
_MAX_PROFILE_BYTES = 4 * 2**20  # the largest profiles of printers have 3 MB
_KEPT_PROFILES = 8  # each with its bytes twice, and the tables of its transform; photos of a dataset have few profiles
_STRIP_ROWS = 256  # rows that are converted together, because intermediate values take 16 bytes for each pixel


def to_resizable(image: Image.Image) -> Image.Image:
    """Convert an image to a mode whose values can be averaged: L, LA, RGB, RGBA, CMYK or LAB."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        return _to_8_bits(image)
    if mode in {"P", "PA", "1"} or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "L" if mode == "1" else "RGB")
    if mode in {"L", "LA", "RGB", "RGBA", "CMYK", "LAB"}:
        return image
    return image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, "RGB"))  # YCbCr, HSV, RGBX


def to_srgb(image: Image.Image, profile: bytes | None, background: str) -> tuple[Image.Image, str | None]:
    """Convert an image to sRGB, and composite its transparent pixels over a background.

    Args:
        image: An image of one of the modes that `to_resizable` returns.
        profile: An ICC profile, or None.
        background: A CSS colour, in sRGB.

    Returns:
        The image in mode RGB, and the name of the profile. The name is None for sRGB or no profile, and `ignored: ...`
        if the profile is invalid or larger than 4 MiB, or its colour space is not that of the image.
    """
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
    colors = image if alpha is None else image.convert(image.mode[:-1])
    rgb, name = _apply_profile(colors, profile) if profile else (_to_rgb(colors), None)
    if alpha is not None:
        backdrop = Image.new("RGB", rgb.size, ImageColor.getrgb(background)[:3])
        rgb = Image.composite(rgb, backdrop, alpha)
    return rgb, name


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit values 0..65535, or floats 0..1, to 0..255. `Image.convert` would clip values above 255 instead."""
    result = Image.new("L", image.size)
    for top in range(0, image.height, _STRIP_ROWS):
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))
        values = np.asarray(strip if strip.mode in {"I", "F"} else strip.convert("I"), np.float32)  # [H, W]
        maximum = 1.0 if strip.mode == "F" else _MAX_16_BIT
        scaled = np.nan_to_num(values * (255.0 / maximum)).clip(0, 255)
        result.paste(Image.fromarray(np.rint(scaled).astype(np.uint8)), (0, top))
    return result


def _apply_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    if len(profile) > _MAX_PROFILE_BYTES:
        return _to_rgb(image), f"ignored: the profile has more than {_MAX_PROFILE_BYTES} bytes"
    try:
        transform, name = _profile_transform(profile, image.mode)
        if transform is None:
            return _to_rgb(image), name
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, struct.error) as error:
        return _to_rgb(image), f"ignored: {error}"
    return converted or _to_rgb(image), name


@functools.lru_cache(maxsize=_KEPT_PROFILES)
def _profile_transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str | None]:
    """Return the transform from a profile to sRGB, and the name that `to_srgb` returns.

    The transform is None if the profile is sRGB, or if its colour space is not that of the mode.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    name = " ".join(ImageCms.getProfileDescription(source).split()) or "unnamed profile"
    if source.profile.xcolor_space != _COLOR_SPACES[mode]:
        return None, f"ignored: {name}, a profile for {source.profile.xcolor_space.strip()}, not for {mode}"
    if name.startswith("sRGB") and mode == "RGB":
        return None, None
    return ImageCms.buildTransform(source, SRGB, mode, "RGB", INTENT), name


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to mode RGB without a profile of its file."""
    if image.mode != "LAB":
        return image.convert("RGB")
    lab = ImageCms.createProfile("LAB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(lab, SRGB, "LAB", "RGB", INTENT)) or image
