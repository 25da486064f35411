"""How photos are to look: everything that decides a picture, and nothing else but the batch size."""

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from schemas.detectors import DetectorSettings, NetworkSettings, SegSettings
from schemas.models import LOCATION_KEYS, Base, Embedding, IpAdapter, Lora, Model, SafetyChecker, Strict, Vae
from schemas.prompt import template_columns

# diffusers' class names; each works from a Stable Diffusion checkpoint's own scheduler configuration.
Scheduler = Literal[
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
]
SIDE = 64  # sides are multiples of it: the UNet halves the latents (1/8 of the picture) three times


class Control(Strict):
    """One ControlNet and the detector that draws its maps."""

    detector: Annotated[DetectorSettings, Field(discriminator="name")]
    net: Model
    scale: float = Field(default=1.0, ge=0, le=2)
    start: float = Field(default=0.0, ge=0, le=1)  # share of the steps at which the net sets in, and ends
    end: float = Field(default=1.0, ge=0, le=1)
    when_missing: Literal["fail", "blank"] = "fail"  # detector's weights not to be had: stop, or a black map
    device: Literal["auto", "cpu"] = "auto"  # of the detector; auto: the GPU of a run that has one, if it gains from it

    @model_validator(mode="after")
    def _window(self) -> "Control":
        if self.start >= self.end:
            message = f"start ({self.start}) must be below end ({self.end})"
            raise ValueError(message)
        return self


class SchedulerChoice(Strict):
    """A diffusers scheduler and the settings that differ from the checkpoint's own."""

    name: Scheduler
    settings: dict[str, bool | int | float | str] = Field(default_factory=dict)


class Region(Strict):
    """What mode inpaint paints anew, and leaves alone around it: the pixels there stay the photo's own.

    `mask`: what the manifest's `mask_uri` covers. `subject` and `background`: what a segmentation detector finds of
    `classes`, which are ADE20K's numbers from 0, and all but that.
    """

    of: Literal["mask", "subject", "background"] = "mask"
    detector: SegSettings = SegSettings()
    classes: tuple[Annotated[int, Field(ge=0, lt=150)], ...] = (12, 126)  # person and animal
    grow: int = Field(default=0, ge=0, le=256)  # pixels that the region grows by
    soften: int = Field(default=4, ge=0, le=64)  # pixels over which the new picture passes into the photo, inside it


class Upscale(Strict):
    """A second pass: the picture enlarged, then drawn anew tile by tile under a tile ControlNet."""

    net: Model
    factor: Literal[2, 3, 4] = 2
    strength: float = Field(default=0.35, gt=0, le=1)
    scale: float = Field(default=1.0, ge=0, le=2)
    tile: int = Field(default=512, ge=SIDE, multiple_of=SIDE)  # pixels of a tile's side
    overlap: int = Field(default=64, ge=0, multiple_of=8)  # pixels that neighbours share, and pass into each other


class Output(Strict):
    """The file that a picture becomes."""

    format: Literal["png", "webp", "jpeg"] = "png"
    quality: int = Field(default=95, ge=1, le=100)  # of webp and jpeg; png loses nothing


class Recipe(Strict):
    """Everything that decides how a picture looks; `digest` identifies it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    description: str = ""
    base: Base
    vae: Vae | None = None  # instead of the base's; a tiny one (TAESD) is faster, and another picture
    loras: tuple[Lora, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    ip_adapter: IpAdapter | None = None
    safety: SafetyChecker = SafetyChecker()
    mode: Literal["img2img", "text2img", "inpaint", "maps"] = "img2img"  # maps: control maps alone, and no picture
    region: Region = Region()
    upscale: Upscale | None = None
    strength: float = Field(default=0.6, gt=0, le=1)  # img2img and inpaint: the share of the steps that are run
    steps: int = Field(ge=1, le=1000)
    guidance: float = Field(default=7.5, ge=1)
    guidance_end: float = Field(default=1.0, gt=0, le=1)  # share of the steps that are run after which it is left out
    deep_cache: int = Field(default=1, ge=1, le=8)  # steps from one whole UNet to the next; 1: it is whole at each
    guess_mode: bool = False  # nets see the prompt's half alone, the deeper their layer the louder
    clip_skip: int = Field(default=0, ge=0, le=8)  # last layers of the text encoder that are left out
    scheduler: SchedulerChoice
    prompt: str
    negative_prompt: str = ""
    seed: int = Field(default=0, ge=0)
    controls: tuple[Control, ...] = Field(min_length=1, max_length=5)
    area: int = Field(default=512 * 512, ge=SIDE * SIDE)  # pixels of a picture, nearly
    aspect_ratios: tuple[str, ...] = ("1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16")
    fit: Literal["crop", "people", "pad"] = "crop"  # people: crop around those found, about the centre if none
    background: str = "white"  # of what is transparent in a photo: a CSS colour
    min_visible: float = Field(default=0.25, gt=0, le=1)  # labels of which less is left in the picture are dropped
    output: Output = Output()
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"  # on a GPU; a CPU always computes in float32
    batch_size: int = Field(default=8, ge=1)  # pictures the converter draws at once
    memory: Literal["normal", "low"] = "normal"  # low: models take turns on the GPU, one or two pictures at once
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on a GPU, if the run has work enough to pay for it

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _plain_fields(cls, template: str) -> str:
        template_columns(template)  # its ValueError says what is wrong
        return template

    @field_validator("background")
    @classmethod
    def _color(cls, color: str) -> str:
        from PIL import ImageColor

        ImageColor.getrgb(color)  # its ValueError says what is wrong
        return color

    @field_validator("aspect_ratios")
    @classmethod
    def _ratios(cls, ratios: tuple[str, ...]) -> tuple[str, ...]:
        for ratio in ratios:
            wide, _, high = ratio.partition(":")
            if not (wide.isdigit() and high.isdigit() and int(wide) and int(high)):
                message = f"{ratio!r} is no aspect ratio such as 4:3"
                raise ValueError(message)
        if not ratios:
            message = "at least one aspect ratio is needed"
            raise ValueError(message)
        return ratios

    @model_validator(mode="after")
    def _something_to_do(self) -> "Recipe":
        shares = [self.strength] * (self.mode in ("img2img", "inpaint"))
        for strength in [*shares, *([self.upscale.strength] if self.upscale else [])]:
            if int(self.steps * strength) == 0:
                message = f"{self.steps} steps at strength {strength} are no step at all: raise one of them"
                raise ValueError(message)
        if self.deep_cache > 1 and (self.guidance_end < 1 or self.compile == "on"):
            message = "deep_cache goes neither with guidance_end nor with compile: on"
            raise ValueError(message)
        if self.memory == "low" and self.compile == "on":
            message = "memory: low goes not with compile: on, since models that move are not compiled: set compile=off"
            raise ValueError(message)
        if self.fit == "people" and not self.pose_detectors:
            message = "fit: people needs a control whose detector finds people (openpose, rtmpose, mediapipe)"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _each_once(self) -> "Recipe":
        names = [control.detector.name for control in self.controls]
        if len(set(names)) < len(names):
            message = f"a detector stands twice in controls ({', '.join(names)})"
            raise ValueError(message)
        if self.regions_detector and any(
            control.detector.name == "seg" and control.detector != self.region.detector for control in self.controls
        ):
            message = "region.detector and the control seg differ: one detector draws one map"
            raise ValueError(message)
        tokens = [embedding.token for embedding in self.embeddings]
        if len(set(tokens)) < len(tokens):
            message = f"an embedding's token stands twice ({', '.join(tokens)})"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _tiles_overlap(self) -> "Recipe":
        if self.upscale and self.upscale.overlap * 2 > self.upscale.tile:
            message = "upscale.overlap may be half of upscale.tile at most"
            raise ValueError(message)
        return self

    @property
    def digest(self) -> str:
        """64 hex digits that change with anything that decides how a picture looks."""
        deciding = self.model_dump(
            mode="json", exclude=_NOT_DECIDING, include=_OF_MAPS if self.mode == "maps" else None
        )
        return hashlib.sha256(json.dumps(_identified(deciding), sort_keys=True).encode()).hexdigest()

    @property
    def buckets(self) -> list[tuple[int, int]]:
        """Width and height of the pictures, one pair per aspect ratio: multiples of 64 nearest to the area."""
        return [_bucket(self.area, ratio) for ratio in self.aspect_ratios]

    @property
    def detectors(self) -> tuple[DetectorSettings, ...]:
        """The detectors of the controls, in their order, and behind them what finds the region of mode inpaint."""
        of_controls = tuple(control.detector for control in self.controls)
        found = self.regions_detector
        return of_controls if found is None or found in of_controls else (*of_controls, found)

    @property
    def regions_detector(self) -> SegSettings | None:
        """The detector that finds the region of mode inpaint, where no mask is to bring it."""
        return self.region.detector if self.mode == "inpaint" and self.region.of != "mask" else None

    @property
    def may_be_blank(self) -> frozenset[str]:
        """The detectors whose maps are black where their weights are not to be had; never what finds the region."""
        chosen = [control.detector for control in self.controls if control.when_missing == "blank"]
        return frozenset(detector.name for detector in chosen if detector != self.regions_detector)

    @property
    def enlargement(self) -> int:
        """How many times as wide and as high as its canvas a picture becomes."""
        return self.upscale.factor if self.upscale and self.mode != "maps" else 1

    @property
    def pose_detectors(self) -> tuple[DetectorSettings, ...]:
        """The detectors among them that find people."""
        return tuple(settings for settings in self.detectors if settings.draws_people)

    @property
    def gpu_detectors(self) -> frozenset[str]:
        """The names of the detectors that run on the GPU of a run that has one."""
        return frozenset(control.detector.name for control in self.controls if _joins(control))


_NOT_DECIDING: dict[str, Any] = {
    "name": True, "description": True, "batch_size": True, "memory": True, "compile": True,
    "controls": {"__all__": {"device"}},
}  # fmt: skip
_OF_MAPS: dict[str, Any] = {
    "mode": True, "area": True, "aspect_ratios": True, "fit": True, "background": True, "min_visible": True,
    "controls": {"__all__": {"detector", "when_missing"}},
}  # fmt: skip


def _identified(tree: Any) -> Any:  # noqa: ANN401 - a tree of JSON
    """Return a recipe's tree with every model and reference of a known digest as that digest, wherever it lies."""
    if isinstance(tree, list):
        return [_identified(entry) for entry in tree]
    if not isinstance(tree, dict):
        return tree
    places = LOCATION_KEYS if tree.get("sha256") is not None else frozenset[str]()
    places |= {"reference"} if tree.get("reference_sha256") is not None else set()
    return {key: _identified(value) for key, value in tree.items() if key not in places}


def _bucket(area: int, ratio: str) -> tuple[int, int]:
    wide, high = (int(side) for side in ratio.split(":"))
    width = math.sqrt(area * wide / high)
    return _to_side(width), _to_side(area / width)


def _to_side(pixels: float) -> int:
    return max(SIDE, round(pixels / SIDE) * SIDE)


def _joins(control: Control) -> bool:
    settings = control.detector
    able = isinstance(settings, NetworkSettings) and settings.gains_from_gpu and bool(settings.files)
    return able and control.device != "cpu"
