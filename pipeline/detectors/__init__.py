"""One file per control map. A detector turns a picture into a map of exactly the same height and width."""

import json
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.detectors import CannySettings, DepthSettings, DetectorSettings, OpenposeSettings

Pixels = NDArray[np.uint8]
"""[height, width, 3], RGB, 0..255."""


class Detector(Protocol):
    """What every detector offers."""

    @property
    def version(self) -> str:
        """The library that does the work, and its version."""
        ...

    @property
    def model(self) -> dict[str, str] | None:
        """The columns of `schemas.work.MODEL` for its network; None where it has none."""
        ...

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the control map of `pixels`: as high and wide, RGB."""
        ...


def load_detector(settings: DetectorSettings) -> Detector:
    """Return the detector that `settings` name, its network loaded. Raises `ModelFault` where weights are missing."""
    # Imported here: each detector's library takes seconds, and a run needs few of them.
    match settings:
        case CannySettings():
            from pipeline.detectors.canny import Canny

            return Canny(settings)
        case OpenposeSettings():
            from pipeline.detectors.openpose import Openpose

            return Openpose(settings)
        case DepthSettings():
            from pipeline.detectors.depth import Depth

            return Depth(settings)


def settings_json(settings: DetectorSettings) -> str:
    """Return the settings that provenance shows: all but the name."""
    shown: dict[str, Any] = settings.model_dump(exclude={"name"})
    return json.dumps(shown, sort_keys=True)
