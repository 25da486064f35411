"""controlnet_aux's own detectors over the same networks, for pictures whose sides are what the library rounds to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.detectors.controlnet_aux_import import controlnet_aux


def photo(side: int) -> NDArray[np.uint8]:
    """Return a square of the astronaut."""
    from PIL import Image
    from skimage import data

    return np.asarray(Image.fromarray(data.astronaut()).resize((side, side)))


def bare_map(kind: str, networks: tuple[Any, ...], pixels: NDArray[np.uint8], **settings: Any) -> NDArray[np.uint8]:
    """Return the map that the library's class `kind` over `networks` draws of a square picture."""
    side = pixels.shape[0]
    drawn: NDArray[np.uint8] = getattr(controlnet_aux, kind)(*networks)(
        pixels, detect_resolution=side, image_resolution=side, output_type="np", **settings
    )
    return drawn
