"""What mode inpaint paints anew of a photo: what the manifest's mask covers, or what a segmentation finds, or not."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ControlMapError
from pipeline.images.arrays import Pixels
from pipeline.steps.canvas import as_pixels, row_mask
from schemas.recipe import Recipe
from schemas.work import Row


def inpaint_region(row: Row, recipe: Recipe) -> NDArray[np.bool_]:
    """Return the region on the canvas, [H, W]. Raises `ControlMapError` where there is none."""
    region = recipe.region
    if region.of == "mask":
        if row["mask"] is None:
            message = "inpaint: the manifest gives no mask_uri for this photo"
            raise ControlMapError(message)
        found = row_mask(row)
    else:
        place = recipe.detectors.index(region.detector)
        found = pixels_of_classes(as_pixels(row, row["maps"][place]["pixels"]), region.classes)
        found = ~found if region.of == "background" else found
    if not found.any():
        message = f"inpaint: there is no {region.of} in this photo"
        raise ControlMapError(message)
    return grow_region(found, region.grow)


def pixels_of_classes(drawn: Pixels, classes: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where a map in ADE20K's palette [H, W, 3] shows one of these classes, counted from 0."""
    from pipeline.detectors.seg import PALETTE  # here, not above: its library takes seconds

    colors = [PALETTE[number] for number in classes]
    return np.asarray((drawn[:, :, None, :] == np.array(colors)).all(axis=3).any(axis=2))


def grow_region(region: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Return a region that reaches so many pixels further."""
    if not pixels:
        return region
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return cv2.dilate(region.astype(np.uint8), kernel) > 0
