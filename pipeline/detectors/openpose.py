"""People, by controlnet_aux's OpenPose networks, drawn at the picture's own size."""

from importlib.metadata import version

import numpy as np
from controlnet_aux.open_pose import OpenposeDetector, draw_poses
from controlnet_aux.open_pose.body import Body
from controlnet_aux.open_pose.face import Face
from controlnet_aux.open_pose.hand import Hand

from pipeline import models
from pipeline.detectors import Pixels
from schemas.detectors import OpenposeSettings


class Openpose:
    """Find people and draw them; nobody in the picture gives a black map, which is a result."""

    version = f"controlnet_aux {version('controlnet_aux')}"

    def __init__(self, settings: OpenposeSettings) -> None:
        found = models.locate_openpose(settings)
        body = Body(str(found.folder / models.OPENPOSE_FILES["body"]))
        hand = Hand(str(found.folder / models.OPENPOSE_FILES["hands"])) if settings.hands else None
        face = Face(str(found.folder / models.OPENPOSE_FILES["face"])) if settings.face else None
        self._detector = OpenposeDetector(body, hand, face)
        self._parts = {"include_hand": settings.hands, "include_face": settings.face}
        self.model = found.as_row("openpose")

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the drawn poses; the detector's own call would resize the picture to multiples of 64 first."""
        height, width, _ = pixels.shape
        poses = self._detector.detect_poses(pixels, **self._parts)
        drawn = draw_poses(
            poses, height, width, draw_hand=self._parts["include_hand"], draw_face=self._parts["include_face"]
        )
        return np.asarray(drawn, np.uint8)
