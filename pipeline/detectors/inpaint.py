"""The picture itself, for the net that paints a masked part anew; `pipeline.controls` takes out what a mask covers."""

from pipeline.detectors import Pixels
from schemas.detectors import InpaintSettings


class Inpaint:
    """The picture: what is masked is known from the manifest, not from pixels."""

    def __init__(self, settings: InpaintSettings) -> None:
        del settings  # it has none

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the picture, the very same array."""
        return pixels
