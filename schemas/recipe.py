"""Recipes: everything that decides how an image looks, and a few settings of its computation."""

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from schemas.detectors import DetectorSettings, NetworkSettings, SegSettings
from schemas.models import LOCATION_KEYS, Base, Embedding, IpAdapter, Lora, Model, SafetyChecker, StrictModel, Vae
from schemas.prompt import template_columns

# Classes of diffusers that accept the scheduler configuration of any Stable Diffusion checkpoint.
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
SIDE = 64  # the sides of canvases are multiples of 64: the VAE of SD scales them down by 8, and the UNet by 8 again


class Control(StrictModel):
    """A ControlNet, and the detector of its control maps."""

    detector: Annotated[DetectorSettings, Field(discriminator="name")]
    net: Model
    scale: float = Field(default=1.0, ge=0, le=2)
    start: float = Field(default=0.0, ge=0, le=1)  # the fraction of the steps at which the ControlNet starts
    end: float = Field(default=1.0, ge=0, le=1)  # the fraction of the steps at which it ends
    when_missing: Literal["fail", "blank"] = "fail"  # if weights of the detector are missing: an error, or black maps
    device: Literal["auto", "cpu"] = "auto"  # auto: maps are detected on a GPU, if there is one and it is faster

    @model_validator(mode="after")
    def _check_interval(self) -> "Control":
        if self.start >= self.end:
            raise ValueError(f"start ({self.start}) must be below end ({self.end})")
        return self

    @property
    def supports_gpu(self) -> bool:
        """Whether the detector may run on a GPU: its network gains from one, and `device` allows it."""
        settings = self.detector
        gains = isinstance(settings, NetworkSettings) and settings.gains_from_gpu and bool(settings.files)
        return gains and self.device != "cpu"


class SchedulerChoice(StrictModel):
    """A scheduler of diffusers, and the settings that override the scheduler configuration of the checkpoint."""

    name: Scheduler
    settings: dict[str, bool | int | float | str] = Field(default_factory=dict)


class Region(StrictModel):
    """The region that mode inpaint generates. Outside it, the photo is unchanged, unless `upscale` changes all pixels.

    `of`: `mask` selects the nonzero pixels of the mask in the manifest (`mask_uri`), `subject` the pixels to which the
    segmentation detector assigns one of `classes`, and `background` all other pixels. `classes` are indices of ADE20K,
    from 0.
    """

    of: Literal["mask", "subject", "background"] = "mask"
    detector: SegSettings = SegSettings()
    classes: tuple[Annotated[int, Field(ge=0, lt=150)], ...] = (12, 126)  # person and animal
    grow: int = Field(default=0, ge=0, le=256)  # dilation of the region, in pixels
    soften: int = Field(default=4, ge=0, le=64)  # width of the blend into the photo at the inner edge, in pixels


class Upscale(StrictModel):
    """A second pass: the image is enlarged, then generated again in tiles with a tile ControlNet."""

    net: Model
    factor: Literal[2, 3, 4] = 2
    strength: float = Field(default=0.35, gt=0, le=1)
    scale: float = Field(default=1.0, ge=0, le=2)
    tile: int = Field(default=512, ge=SIDE, multiple_of=SIDE)  # width and height of a tile, in pixels
    overlap: int = Field(default=64, ge=0, multiple_of=8)  # overlap of adjacent tiles, which are blended, in pixels


class Output(StrictModel):
    """The file format of the images."""

    format: Literal["png", "webp", "jpeg"] = "png"
    quality: int = Field(default=95, ge=1, le=100)  # of webp and jpeg; png is lossless


class Recipe(StrictModel):
    """Everything that decides how an image looks, identified by `digest`.

    `batch_size`, `memory`, `compile` and the `device` of a control decide only how images are computed, and change them
    slightly at most. They are not part of the digest.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    description: str = ""
    base: Base
    vae: Vae | None = None  # replaces the VAE of the base; a tiny one (TAESD) is faster, and changes the images
    loras: tuple[Lora, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    ip_adapter: IpAdapter | None = None
    safety: SafetyChecker = SafetyChecker()
    mode: Literal["img2img", "text2img", "inpaint", "maps"] = "img2img"  # maps: control maps only, without images
    region: Region = Region()
    upscale: Upscale | None = None
    strength: float = Field(default=0.6, gt=0, le=1)  # img2img and inpaint: the fraction of the steps that are run
    steps: int = Field(ge=1, le=1000)
    guidance: float = Field(default=7.5, ge=1)  # the scale of classifier-free guidance; 1 disables it
    guidance_end: float = Field(default=1.0, gt=0, le=1)  # the fraction of the executed steps after which guidance ends
    deep_cache: int = Field(default=1, ge=1, le=8)  # DeepCache: every nth call runs the complete UNet; 1 disables it
    guess_mode: bool = False  # as in diffusers: ControlNets see the positive prompt only; residuals grow with depth
    clip_skip: int = Field(default=0, ge=0, le=8)  # the number of last layers of the text encoder that are skipped
    scheduler: SchedulerChoice
    prompt: str
    negative_prompt: str = ""
    seed: int = Field(default=0, ge=0)
    controls: tuple[Control, ...] = Field(min_length=1, max_length=5)
    area: int = Field(default=512 * 512, ge=SIDE * SIDE)  # approximate number of pixels of a canvas
    aspect_ratios: tuple[str, ...] = ("1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16")
    fit: Literal["crop", "people", "pad"] = "crop"  # people: crop around the people, or at the center if none
    background: str = "white"  # a CSS color that replaces the transparent pixels of a photo
    min_visible: float = Field(default=0.25, gt=0, le=1)  # labels of which a smaller fraction is visible are dropped
    output: Output = Output()
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"  # on a GPU; a CPU always computes in float32
    batch_size: int = Field(default=8, ge=1)  # the number of images that the converter generates together
    # low: models take turns on the GPU, and at most two images are generated together.
    memory: Literal["normal", "low"] = "normal"
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on a GPU, if the run is large enough

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _check_template(cls, template: str) -> str:
        template_columns(template)  # raises ValueError
        return template

    @field_validator("background")
    @classmethod
    def _check_color(cls, color: str) -> str:
        from PIL import ImageColor

        ImageColor.getrgb(color)  # raises ValueError
        return color

    @field_validator("aspect_ratios")
    @classmethod
    def _check_aspect_ratios(cls, ratios: tuple[str, ...]) -> tuple[str, ...]:
        for ratio in ratios:
            width, _, height = ratio.partition(":")
            if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
                raise ValueError(f"{ratio!r} is not an aspect ratio such as 4:3")
        if not ratios:
            raise ValueError("at least one aspect ratio is required")
        return ratios

    @model_validator(mode="after")
    def _check_steps(self) -> "Recipe":
        strengths = [self.strength] * (self.mode in ("img2img", "inpaint"))
        strengths += [self.upscale.strength] if self.upscale else []
        for strength in strengths:
            if int(self.steps * strength) == 0:
                raise ValueError(f"{self.steps} steps at strength {strength} run zero steps: increase one of them")
        return self

    @model_validator(mode="after")
    def _check_combinations(self) -> "Recipe":
        if self.deep_cache > 1 and (self.guidance_end < 1 or self.compile == "on"):
            raise ValueError("deep_cache cannot be combined with guidance_end or compile: on")
        if self.memory == "low" and self.compile == "on":
            raise ValueError("memory: low cannot be combined with compile: on, since models move between devices")
        if self.fit == "people" and not self.pose_detectors:
            raise ValueError("fit: people requires a control with openpose, rtmpose or mediapipe")
        if self.upscale and self.upscale.overlap * 2 > self.upscale.tile:
            raise ValueError("upscale.overlap must be at most half of upscale.tile")
        return self

    @model_validator(mode="after")
    def _check_unique(self) -> "Recipe":
        names = [control.detector.name for control in self.controls]
        if len(set(names)) < len(names):
            raise ValueError(f"two controls have the same detector ({', '.join(names)})")
        if self.region_detector and any(
            control.detector.name == "seg" and control.detector != self.region.detector for control in self.controls
        ):
            raise ValueError("region.detector and the detector of the control seg must be equal")
        tokens = [embedding.token for embedding in self.embeddings]
        if len(set(tokens)) < len(tokens):
            raise ValueError(f"two embeddings have the same token ({', '.join(tokens)})")
        return self

    @property
    def digest(self) -> str:
        """The SHA-256 of all settings that affect images and their labels, as 64 hex digits.

        In mode maps, these are the settings that affect control maps and labels.
        """
        settings = self.model_dump(
            mode="json", exclude=_NOT_IN_DIGEST, include=_MAP_SETTINGS if self.mode == "maps" else None
        )
        return hashlib.sha256(json.dumps(_without_locations(settings), sort_keys=True).encode()).hexdigest()

    @property
    def buckets(self) -> list[tuple[int, int]]:
        """The width and height of a canvas of `area` pixels for each aspect ratio, rounded to multiples of 64."""
        return [_bucket(self.area, ratio) for ratio in self.aspect_ratios]

    @property
    def detectors(self) -> tuple[DetectorSettings, ...]:
        """The detectors of the controls in their order, then the detector of the region if no control has it."""
        detectors = tuple(control.detector for control in self.controls)
        region = self.region_detector
        return detectors if region is None or region in detectors else (*detectors, region)

    @property
    def region_detector(self) -> SegSettings | None:
        """The detector of the region in mode inpaint. None in other modes, and if a mask of the manifest is used."""
        return self.region.detector if self.mode == "inpaint" and self.region.of != "mask" else None

    @property
    def may_be_blank(self) -> frozenset[str]:
        """The names of the detectors that have `when_missing: blank`.

        The detector of the region is never among them.
        """
        optional = [control.detector for control in self.controls if control.when_missing == "blank"]
        return frozenset(detector.name for detector in optional if detector != self.region_detector)

    @property
    def enlargement(self) -> int:
        """The factor by which the converter enlarges the width and height of a canvas."""
        return self.upscale.factor if self.upscale and self.mode != "maps" else 1

    @property
    def pose_detectors(self) -> tuple[DetectorSettings, ...]:
        """The detectors that find people."""
        return tuple(settings for settings in self.detectors if settings.finds_people)

    @property
    def gpu_detectors(self) -> frozenset[str]:
        """The names of the detectors that run on the GPU if there is one."""
        return frozenset(control.detector.name for control in self.controls if control.supports_gpu)


SETTINGS_NOT_IN_DIGEST = frozenset({"name", "description", "batch_size", "memory", "compile"})
_NOT_IN_DIGEST: dict[str, Any] = dict.fromkeys(SETTINGS_NOT_IN_DIGEST, True) | {"controls": {"__all__": {"device"}}}
_MAP_SETTINGS: dict[str, Any] = {
    "mode": True, "area": True, "aspect_ratios": True, "fit": True, "background": True, "min_visible": True,
    "controls": {"__all__": {"detector", "when_missing"}},
}  # fmt: skip


def _without_locations(tree: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a copy of a recipe without the locations of those models and reference images whose sha256 is known."""
    if isinstance(tree, list):
        return [_without_locations(entry) for entry in tree]
    if not isinstance(tree, dict):
        return tree
    locations = LOCATION_KEYS if tree.get("sha256") is not None else frozenset[str]()
    locations |= {"reference"} if tree.get("reference_sha256") is not None else set()
    return {key: _without_locations(value) for key, value in tree.items() if key not in locations}


def _bucket(area: int, ratio: str) -> tuple[int, int]:
    ratio_width, ratio_height = (int(side) for side in ratio.split(":"))
    width = math.sqrt(area * ratio_width / ratio_height)
    return _round_to_side(width), _round_to_side(area / width)


def _round_to_side(pixels: float) -> int:
    return max(SIDE, round(pixels / SIDE) * SIDE)
