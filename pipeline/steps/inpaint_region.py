"""Find the region of a photo that mode inpaint paints: the manifest's mask, the subject, or the background."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MissingMaskError, RegionNotFoundError
from pipeline.images.arrays import Pixels
from pipeline.steps.canvas import canvas_mask, map_pixels
from schemas.recipe import Recipe
from schemas.work import Mapped


def inpaint_region(row: Mapped, recipe: Recipe) -> NDArray[np.bool_]:
    """Return the region on the canvas, [H, W].

    Raises:
        MissingMaskError: The recipe paints what the mask covers, and the manifest has none for this photo.
        RegionNotFoundError: The region is empty.
    """
    region = recipe.region
    if region.of == "mask":
        mask = canvas_mask(row.canvas)
        if mask is None:
            raise MissingMaskError("inpaint: the photo has no mask_uri in the manifest")
    else:
        mask = pixels_of_classes(map_pixels(row.maps[recipe.detectors.index(region.detector)]), region.classes)
        mask = ~mask if region.of == "background" else mask
    if not mask.any():
        raise RegionNotFoundError(f"inpaint: the region is empty (region.of: {region.of})")
    return grow_region(mask, region.grow)


def pixels_of_classes(segmentation: Pixels, classes: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where a map in ADE20K's palette [H, W, 3] shows one of these classes, counted from 0."""
    from pipeline.detectors.seg import PALETTE  # imported here because controlnet_aux takes seconds to import

    colors = [PALETTE[number] for number in classes]
    return np.asarray((segmentation[:, :, None, :] == np.array(colors)).all(axis=3).any(axis=2))


def grow_region(region: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Return a region [H, W] dilated by a number of pixels."""
    if not pixels:
        return region
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return cv2.dilate(region.astype(np.uint8), kernel) > 0
