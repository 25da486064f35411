"""What a recipe may set of each detector; the name chooses the detector."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
_TRANSFORMERS = ("config.json", "preprocessor_config.json", "*.safetensors")


class Settings(BaseModel):
    """What all detectors share."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str  # each detector's own
    library: ClassVar[str]  # the distribution that does the work: its version is the detector's
    draws_people: ClassVar[bool] = False  # the manifest's `pose_keypoints` can stand for its map
    is_the_photo: ClassVar[bool] = False  # the map is the picture itself, nearly: nothing to keep in a cache


class NetworkSettings(Settings):
    """A detector with a network: `weights` is a hub repository, a local folder or a bucket folder."""

    library: ClassVar[str] = "controlnet-aux"
    gains_from_gpu: ClassVar[bool] = True  # where a run has a GPU, it joins the converter there
    weights: str = "lllyasviel/Annotators"  # controlnet_aux's
    revision: str = "main"
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # other weights are refused, if it is known

    @property
    def files(self) -> tuple[str, ...]:
        """Name the files of the weights, as patterns; none where these settings need no network."""
        return ()


class CannySettings(Settings):
    """Edges by cv2.Canny on the RGB picture; the nets were trained with 100 and 200."""

    name: Literal["canny"] = "canny"
    library: ClassVar[str] = "opencv-python-headless"
    low: Positive = 100.0
    high: Positive = 200.0


class OpenposeSettings(NetworkSettings):
    """People by controlnet_aux's OpenPose; the networks' licence is for research alone."""

    name: Literal["openpose"] = "openpose"
    draws_people: ClassVar[bool] = True
    hands: bool = False
    face: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Name the body's network, and those of hands and face where they are asked for."""
        hands, face = ("hand_pose_model.pth",) * self.hands, ("facenet.pth",) * self.face
        return ("body_pose_model.pth", *hands, *face)


class RtmposeSettings(NetworkSettings):
    """People by rtmlib: a person detector (YOLOX), then RTMPose on each, both ONNX; 17 or 133 keypoints."""

    name: Literal["rtmpose"] = "rtmpose"
    library: ClassVar[str] = "rtmlib"
    draws_people: ClassVar[bool] = True
    gains_from_gpu: ClassVar[bool] = False
    weights: str = "yzd-v/DWPose"
    person_file: str = "yolox_l.onnx"
    pose_file: str = "dw-ll_ucoco_384.onnx"
    threshold: Share = 0.3  # of a keypoint's score
    hands: bool = False
    face: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Name both networks."""
        return self.person_file, self.pose_file


class MediapipeSettings(NetworkSettings):
    """People by mediapipe's PoseLandmarker: 33 keypoints each, of which OpenPose's are drawn."""

    name: Literal["mediapipe"] = "mediapipe"
    library: ClassVar[str] = "mediapipe"
    draws_people: ClassVar[bool] = True
    gains_from_gpu: ClassVar[bool] = False
    weights: str = "gs://mediapipe-models/pose_landmarker/pose_landmarker_full/float16/1"
    file: str = "pose_landmarker_full.task"
    people: int = Field(default=8, ge=1, le=64)  # found at most
    threshold: Share = 0.5  # of a keypoint's visibility

    @property
    def files(self) -> tuple[str, ...]:
        """Name the bundle of its networks."""
        return (self.file,)


class DepthSettings(NetworkSettings):
    """Relative depth by a transformers depth-estimation model: near is white."""

    name: Literal["depth"] = "depth"
    library: ClassVar[str] = "transformers"
    weights: str = "depth-anything/Depth-Anything-V2-Small-hf"
    invert: bool = False  # for models whose prediction grows away from the viewer: metric ones, ZoeDepth

    @property
    def files(self) -> tuple[str, ...]:
        """Name a transformers model's files."""
        return _TRANSFORMERS


class SoftedgeSettings(NetworkSettings):
    """Soft edges by controlnet_aux's HED or PiDiNet; `safe` quantises them, so that no photo hides in them."""

    name: Literal["softedge"] = "softedge"
    method: Literal["hed", "pidi"] = "hed"
    safe: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Name the method's network."""
        return SOFT_EDGES[self.method]


class ScribbleSettings(NetworkSettings):
    """Thick strokes: soft edges thinned and drawn anew, or `xdog`, a difference of Gaussians without a network."""

    name: Literal["scribble"] = "scribble"
    method: Literal["hed", "pidi", "xdog"] = "hed"
    threshold: Positive = 32.0  # xdog: the least difference of Gaussians that is a stroke

    @property
    def files(self) -> tuple[str, ...]:
        """Name the method's network."""
        return SOFT_EDGES.get(self.method, ())


class LineartSettings(NetworkSettings):
    """Line drawings, white on black, by controlnet_aux's networks; `standard` is a filter without one."""

    name: Literal["lineart"] = "lineart"
    style: Literal["realistic", "coarse", "standard"] = "realistic"

    @property
    def files(self) -> tuple[str, ...]:
        """Name the style's network."""
        return {"realistic": ("sk_model.pth",), "coarse": ("sk_model2.pth",), "standard": ()}[self.style]


class LineartAnimeSettings(NetworkSettings):
    """Lines as an anime drawing has them, white on black, by controlnet_aux's network."""

    name: Literal["lineart_anime"] = "lineart_anime"

    @property
    def files(self) -> tuple[str, ...]:
        """Name the network."""
        return ("netG.pth",)


class NormalSettings(NetworkSettings):
    """Surface normals by controlnet_aux's BAE network: front is blue, left red, top green."""

    name: Literal["normal"] = "normal"

    @property
    def files(self) -> tuple[str, ...]:
        """Name the network."""
        return ("scannet.pt",)


class SegSettings(NetworkSettings):
    """Things by a transformers semantic-segmentation model of ADE20K's 150 classes, in ADE20K's palette."""

    name: Literal["seg"] = "seg"
    library: ClassVar[str] = "transformers"
    weights: str = "openmmlab/upernet-convnext-small"

    @property
    def files(self) -> tuple[str, ...]:
        """Name a transformers model's files."""
        return _TRANSFORMERS


class TileSettings(Settings):
    """The picture itself; `blur` is the size in pixels of what is averaged away first."""

    name: Literal["tile"] = "tile"
    library: ClassVar[str] = "opencv-python-headless"
    is_the_photo: ClassVar[bool] = True
    blur: int = Field(default=1, ge=1, le=64)


class InpaintSettings(Settings):
    """The picture itself, without what the manifest's `mask_uri` covers: the net sees -1 there."""

    name: Literal["inpaint"] = "inpaint"
    library: ClassVar[str] = "opencv-python-headless"
    is_the_photo: ClassVar[bool] = True


SOFT_EDGES = {"hed": ("ControlNetHED.pth",), "pidi": ("table5_pidinet.pth",)}

DetectorSettings = (
    CannySettings
    | OpenposeSettings
    | RtmposeSettings
    | MediapipeSettings
    | DepthSettings
    | SoftedgeSettings
    | ScribbleSettings
    | LineartSettings
    | LineartAnimeSettings
    | NormalSettings
    | SegSettings
    | TileSettings
    | InpaintSettings
)
ALL_SETTINGS: tuple[type[Settings], ...] = get_args(DetectorSettings)
DETECTORS = tuple(kind.model_fields["name"].default for kind in ALL_SETTINGS)
