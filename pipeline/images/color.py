"""From any mode and colour space that Pillow reads to RGB in sRGB, 8 bits.

In two steps, around the resampling: `resizable` brings what cannot be averaged (palettes, single bits, hues) to a mode
that can; `to_srgb` makes colours of the small picture, where a profile costs a hundredth.
"""

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms, ImageColor

SRGB = ImageCms.createProfile("sRGB")
INTENT = ImageCms.Intent.PERCEPTUAL  # what browsers use; profiles without its table fall back to relative colorimetric
_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}  # ICC.1:2010, colour spaces, by Pillow's modes
_TOP_OF_16_BIT = 65535.0


def resizable(image: Image.Image) -> Image.Image:
    """Return `image` in a mode whose pixels may be averaged: L, LA, RGB, RGBA, CMYK or LAB."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        return _grey_of_many_bits(image)
    if mode in {"P", "PA", "1"} or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "L" if mode == "1" else "RGB")
    if mode in {"L", "LA", "RGB", "RGBA", "CMYK", "LAB"}:
        return image
    return image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, "RGB"))  # YCbCr, HSV, RGBX


def to_srgb(image: Image.Image, profile: bytes | None, background: str) -> tuple[Image.Image, str | None]:
    """Return an image of one of `resizable`'s modes in RGB, what is transparent in it over `background`.

    Also returns what the colours were: the profile's own name, None for sRGB or no profile at all. A profile that
    cannot be read, or is of another kind of colours, is left out of it, and said to be ignored.
    """
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
    colors = image if alpha is None else image.convert(image.mode[:-1])
    rgb, name = _through(colors, profile) if profile else (_plain(colors), None)
    if alpha is not None:
        ground = Image.new("RGB", rgb.size, ImageColor.getrgb(background)[:3])
        rgb = Image.composite(rgb, ground, alpha)
    return rgb, name


def _grey_of_many_bits(image: Image.Image) -> Image.Image:
    """Scale by the mode's own range, not by the picture's: `convert` alone cuts everything above 255 off."""
    values = np.asarray(image if image.mode in {"I", "F"} else image.convert("I"), np.float32)  # [H, W]
    top = 1.0 if image.mode == "F" else _TOP_OF_16_BIT
    scaled = np.nan_to_num(values * (255.0 / top)).clip(0, 255)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _through(image: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    try:
        transform, name = _transform(profile, image.mode)
        if transform is None:
            return _plain(image), name
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, struct.error) as error:
        return _plain(image), f"ignored: {error}"
    return converted or _plain(image), name


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str | None]:
    """Return the way from a profile to sRGB, None where there is nothing to do, and the profile's name."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    name = " ".join(ImageCms.getProfileDescription(source).split()) or "unnamed profile"
    if source.profile.xcolor_space != _SPACES[mode]:
        return None, f"ignored: {name}, of {source.profile.xcolor_space.strip()}, on {mode}"
    if name.startswith("sRGB") and mode == "RGB":
        return None, None
    return ImageCms.buildTransform(source, SRGB, mode, "RGB", INTENT), name


def _plain(image: Image.Image) -> Image.Image:
    """Return an image without a profile in RGB."""
    if image.mode != "LAB":
        return image.convert("RGB")
    lab = ImageCms.createProfile("LAB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(lab, SRGB, "LAB", "RGB", INTENT)) or image
