"""The settings of each detector in a recipe. The name selects the detector."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
_TRANSFORMERS = ("config.json", "preprocessor_config.json", "*.safetensors")


class Settings(BaseModel):
    """The base class of the settings of detectors.

    Attributes:
        name: The name of the detector, a constant of each subclass.
        library: The package that the detector uses. Its version is recorded as the version of the detector.
        finds_people: The `pose_keypoints` of the manifest can replace the detected map.
        shows_photo: The map is the photo itself, blurred or masked. It is not cached, because it is computed quickly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    library: ClassVar[str]
    finds_people: ClassVar[bool] = False
    shows_photo: ClassVar[bool] = False


class NetworkSettings(Settings):
    """The base class of the settings of detectors with a network.

    Attributes:
        gains_from_gpu: The network is faster on a GPU. `Control.supports_gpu` decides where it runs.
        weights: A hub repository, a local folder or a bucket folder.
        revision: The branch, tag or commit of a hub repository.
        sha256: The digest that the weights must have, or None.
    """

    library: ClassVar[str] = "controlnet-aux"
    gains_from_gpu: ClassVar[bool] = True
    weights: str = "lllyasviel/Annotators"
    revision: str = "main"
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @property
    def files(self) -> tuple[str, ...]:
        """Glob patterns of the files of the weights; empty if these settings need no network."""
        return ()


class CannySettings(Settings):
    """Edges by `cv2.Canny` on the RGB image. The ControlNets were trained with the thresholds 100 and 200."""

    name: Literal["canny"] = "canny"
    library: ClassVar[str] = "opencv-python-headless"
    low: Positive = 100.0
    high: Positive = 200.0


class OpenposeSettings(NetworkSettings):
    """People by the OpenPose networks of controlnet_aux, whose licence permits research only."""

    name: Literal["openpose"] = "openpose"
    finds_people: ClassVar[bool] = True
    hands: bool = False
    face: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The network of the body, and those of hands and face if they are enabled."""
        hands, face = ("hand_pose_model.pth",) * self.hands, ("facenet.pth",) * self.face
        return ("body_pose_model.pth", *hands, *face)


class RtmposeSettings(NetworkSettings):
    """People by rtmlib: YOLOX detects people, RTMPose 17 or 133 keypoints of each; both are ONNX files."""

    name: Literal["rtmpose"] = "rtmpose"
    library: ClassVar[str] = "rtmlib"
    finds_people: ClassVar[bool] = True
    gains_from_gpu: ClassVar[bool] = False
    weights: str = "yzd-v/DWPose"
    person_file: str = "yolox_l.onnx"
    pose_file: str = "dw-ll_ucoco_384.onnx"
    threshold: Share = 0.3  # minimum score of a keypoint
    hands: bool = False
    face: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Both networks."""
        return self.person_file, self.pose_file


class MediapipeSettings(NetworkSettings):
    """People by mediapipe's PoseLandmarker: 33 keypoints each, of which the map shows those of OpenPose."""

    name: Literal["mediapipe"] = "mediapipe"
    library: ClassVar[str] = "mediapipe"
    finds_people: ClassVar[bool] = True
    gains_from_gpu: ClassVar[bool] = False
    weights: str = "gs://mediapipe-models/pose_landmarker/pose_landmarker_full/float16/1"
    file: str = "pose_landmarker_full.task"
    people: int = Field(default=8, ge=1, le=64)  # maximum number of people
    threshold: Share = 0.5  # minimum visibility of a keypoint

    @property
    def files(self) -> tuple[str, ...]:
        """The bundle of the networks."""
        return (self.file,)


class DepthSettings(NetworkSettings):
    """Relative depth by a transformers depth-estimation model: near is white."""

    name: Literal["depth"] = "depth"
    library: ClassVar[str] = "transformers"
    weights: str = "depth-anything/Depth-Anything-V2-Small-hf"
    invert: bool = False  # for models that predict larger numbers for farther pixels, such as ZoeDepth

    @property
    def files(self) -> tuple[str, ...]:
        """The files of a transformers model."""
        return _TRANSFORMERS


class SoftedgeSettings(NetworkSettings):
    """Soft edges by HED or PiDiNet of controlnet_aux; `safe` quantises them, so that they do not encode the photo."""

    name: Literal["softedge"] = "softedge"
    method: Literal["hed", "pidi"] = "hed"
    safe: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The network of the method."""
        return SOFT_EDGES[self.method]


class ScribbleSettings(NetworkSettings):
    """Strokes. `hed` and `pidi` detect soft edges and redraw their centre lines with one width, `xdog` is a filter."""

    name: Literal["scribble"] = "scribble"
    method: Literal["hed", "pidi", "xdog"] = "hed"
    # xdog: a pixel is part of a stroke if its difference of Gaussians, rounded up, exceeds half this value.
    threshold: Positive = 32.0

    @property
    def files(self) -> tuple[str, ...]:
        """The network of the method."""
        return SOFT_EDGES.get(self.method, ())


class LineartSettings(NetworkSettings):
    """Line drawings, white on black, by networks of controlnet_aux, or by a filter: `standard`."""

    name: Literal["lineart"] = "lineart"
    style: Literal["realistic", "coarse", "standard"] = "realistic"

    @property
    def files(self) -> tuple[str, ...]:
        """The network of the style."""
        return {"realistic": ("sk_model.pth",), "coarse": ("sk_model2.pth",), "standard": ()}[self.style]


class LineartAnimeSettings(NetworkSettings):
    """Lines as in anime drawings, white on black, by a network of controlnet_aux."""

    name: Literal["lineart_anime"] = "lineart_anime"

    @property
    def files(self) -> tuple[str, ...]:
        """The network."""
        return ("netG.pth",)


class NormalSettings(NetworkSettings):
    """Surface normals by the NormalBae network of controlnet_aux: red points left, green up, blue to the viewer."""

    name: Literal["normal"] = "normal"

    @property
    def files(self) -> tuple[str, ...]:
        """The network."""
        return ("scannet.pt",)


class SegSettings(NetworkSettings):
    """Semantic segmentation by a transformers model, in the colours of ADE20K's 150 classes."""

    name: Literal["seg"] = "seg"
    library: ClassVar[str] = "transformers"
    weights: str = "openmmlab/upernet-convnext-small"

    @property
    def files(self) -> tuple[str, ...]:
        """The files of a transformers model."""
        return _TRANSFORMERS


class TileSettings(Settings):
    """The image itself, after a box blur of `blur` pixels."""

    name: Literal["tile"] = "tile"
    library: ClassVar[str] = "opencv-python-headless"
    shows_photo: ClassVar[bool] = True
    blur: int = Field(default=1, ge=1, le=64)


class InpaintSettings(Settings):
    """The image itself, black where the mask covers it: the ControlNet receives -1 there."""

    name: Literal["inpaint"] = "inpaint"
    library: ClassVar[str] = "opencv-python-headless"
    shows_photo: ClassVar[bool] = True


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
