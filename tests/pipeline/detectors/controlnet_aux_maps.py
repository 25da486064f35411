"""A test photo, and the control maps of controlnet_aux, with which those of this project are compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.controlnet_aux_import import controlnet_aux


def photo(side: int) -> NDArray[np.uint8]:
    """Return the astronaut of scikit-image as a square, [side, side, 3], uint8, RGB."""
    from PIL import Image
    from skimage import data

    return np.asarray(Image.fromarray(data.astronaut()).resize((side, side)))


def library_map(kind: str, networks: tuple[Any, ...], pixels: NDArray[np.uint8], **settings: Any) -> NDArray[np.uint8]:
    """Return the map of a class of controlnet_aux for a square image, whose side must be a multiple of 64."""
    side = pixels.shape[0]
    control_map: NDArray[np.uint8] = getattr(controlnet_aux, kind)(*networks)(
        pixels, detect_resolution=side, image_resolution=side, output_type="np", **settings
    )
    return control_map
