"""How photos are to look: everything that decides a picture, and nothing else but the batch size."""

import hashlib
import json
import math
import string
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.detectors import DetectorSettings

# diffusers' class names; each works from a Stable Diffusion checkpoint's own scheduler configuration.
Scheduler = Literal[
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "UniPCMultistepScheduler",
]
SIDE = 64  # sides are multiples of it: the UNet halves the latents (1/8 of the picture) three times


class Strict(BaseModel):
    """A part of a recipe: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(Strict):
    """Where weights are: `org/name` on the hub, a local folder, a bucket folder, or `builtin:…`."""

    name: str = Field(min_length=1)
    revision: str = "main"
    variant: str | None = None  # the hub's file variant, such as fp16


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
    settings: dict[str, bool | int | float | str] = {}


class Output(Strict):
    """The file that a picture becomes."""

    format: Literal["png", "webp", "jpeg"] = "png"
    quality: int = Field(default=95, ge=1, le=100)  # of webp and jpeg; png loses nothing


class Recipe(Strict):
    """Everything that decides how a picture looks; `digest` identifies it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    description: str = ""
    base: Model
    mode: Literal["img2img", "text2img", "maps"] = "img2img"  # maps: control maps alone, and no picture
    strength: float = Field(default=0.6, gt=0, le=1)  # img2img: the share of the steps that are run
    steps: int = Field(ge=1, le=1000)
    guidance: float = Field(default=7.5, ge=1)
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

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _plain_fields(cls, template: str) -> str:
        for field in template_fields(template):
            if not field.isidentifier():
                message = f"{{{field}}} is no column's name; write {{{{ and }}}} for braces"
                raise ValueError(message)
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
        if self.mode == "img2img" and int(self.steps * self.strength) == 0:
            message = f"{self.steps} steps at strength {self.strength} are no step at all: raise one of them"
            raise ValueError(message)
        if self.fit == "people" and not self.pose_detectors:
            message = "fit: people needs a control whose detector finds people (openpose, rtmpose, mediapipe)"
            raise ValueError(message)
        names = [control.detector.name for control in self.controls]
        if len(set(names)) < len(names):
            message = f"a detector stands twice in controls ({', '.join(names)})"
            raise ValueError(message)
        return self

    @property
    def digest(self) -> str:
        """64 hex digits that change with anything that decides how a picture looks."""
        deciding = self.model_dump(
            mode="json", exclude=_NOT_DECIDING, include=_OF_MAPS if self.mode == "maps" else None
        )
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    @property
    def buckets(self) -> list[tuple[int, int]]:
        """Width and height of the pictures, one pair per aspect ratio: multiples of 64 nearest to the area."""
        return [_bucket(self.area, ratio) for ratio in self.aspect_ratios]

    @property
    def detectors(self) -> tuple[DetectorSettings, ...]:
        """The detectors of the controls, in their order."""
        return tuple(control.detector for control in self.controls)

    @property
    def pose_detectors(self) -> tuple[DetectorSettings, ...]:
        """The detectors among them that find people."""
        return tuple(settings for settings in self.detectors if settings.draws_people)

    @property
    def prompt_fields(self) -> set[str]:
        """The manifest's columns that the prompts name."""
        return {*template_fields(self.prompt), *template_fields(self.negative_prompt)}


_NOT_DECIDING: dict[str, Any] = {
    "name": True, "description": True, "batch_size": True, "controls": {"__all__": {"device"}},
}  # fmt: skip
_OF_MAPS: dict[str, Any] = {
    "mode": True, "area": True, "aspect_ratios": True, "fit": True, "background": True, "min_visible": True,
    "controls": {"__all__": {"detector", "when_missing"}},
}  # fmt: skip


def template_fields(template: str) -> list[str]:
    """Return the `{field}` names of a prompt template; raise ValueError for braces that do not close."""
    fields = []
    for _, field, form, conversion in string.Formatter().parse(template):
        if form or conversion:
            message = f"{{{field}}} in a prompt takes no format"
            raise ValueError(message)
        if field is not None:
            fields.append(field)
    return fields


def _bucket(area: int, ratio: str) -> tuple[int, int]:
    wide, high = (int(side) for side in ratio.split(":"))
    width = math.sqrt(area * wide / high)
    return _to_side(width), _to_side(area / width)


def _to_side(pixels: float) -> int:
    return max(SIDE, round(pixels / SIDE) * SIDE)
