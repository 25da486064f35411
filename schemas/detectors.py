"""What a recipe may set of each detector; the name chooses the detector."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CannySettings(_Settings):
    """Edges by cv2.Canny on the RGB picture; the nets were trained with 100 and 200."""

    name: Literal["canny"] = "canny"
    low: Positive = 100.0
    high: Positive = 200.0


class OpenposeSettings(_Settings):
    """People by controlnet_aux's OpenPose: a folder or hub repository with its `.pth` files."""

    name: Literal["openpose"] = "openpose"
    weights: str = "lllyasviel/Annotators"
    revision: str = "main"
    hands: bool = False
    face: bool = False


class DepthSettings(_Settings):
    """Relative depth by a transformers depth-estimation model: near is white."""

    name: Literal["depth"] = "depth"
    weights: str = "depth-anything/Depth-Anything-V2-Small-hf"
    revision: str = "main"


DetectorSettings = CannySettings | OpenposeSettings | DepthSettings
