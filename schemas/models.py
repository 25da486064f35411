"""The models that a recipe may name: where their weights are, and what they are to be there for."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

LOCATION_KEYS = frozenset(
    {"name", "revision", "variant", "file", "weights"}
)  # of weights: no matter, once their digest is known


def _below(path: str) -> str:
    """Return a path that stays below its folder; raise ValueError for any other."""
    if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        message = f"{path!r} is no path below the folder or repository that `name` says"
        raise ValueError(message)
    return path


Below = Annotated[str, AfterValidator(_below)]
"""A file's or a folder's path below what `name` says."""


class Strict(BaseModel):
    """A part of a recipe: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(Strict):
    """Where weights are: `org/name` on the hub, a local folder, a bucket folder, or `builtin:…`; in diffusers' layout.

    `sha256` is what `photo2anime recipes lock` found: other weights are refused then, wherever they lie.
    """

    name: str = Field(min_length=1)
    revision: str = "main"
    variant: str | None = None  # the hub's file variant, such as fp16
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class Base(Model):
    """A whole Stable Diffusion checkpoint, 1.x, 2.x or XL, in diffusers' folders, or with `file` in one file of `name`.

    One file holds no configuration: `config` names a checkpoint of the same family, of which no weights are taken.
    """

    file: Below | None = None
    config: Model | None = None

    @model_validator(mode="after")
    def _file_and_config(self) -> "Base":
        if (self.file is None) != (self.config is None):
            message = "file and config go together: one file of weights, and whose configuration it has"
            raise ValueError(message)
        return self

    @field_validator("file")
    @classmethod
    def _safe(cls, file: str | None) -> str | None:
        if file is not None and not file.endswith(".safetensors"):
            message = f"{file}: a checkpoint of one file must be safetensors"
            raise ValueError(message)
        return file


class Vae(Model):
    """An autoencoder that is taken instead of the base's, in a folder or one file; a tiny one (TAESD) too."""

    file: Below | None = None


class Lora(Model):
    """Low-rank changes of the UNet and the text encoders, fused into them at `weight`."""

    file: Below = "pytorch_lora_weights.safetensors"  # as diffusers names it
    weight: float = Field(default=1.0, ge=-4, le=4)


class Embedding(Model):
    """A textual inversion: `token` stands for it in prompts."""

    file: Below = "learned_embeds.safetensors"
    token: str = Field(min_length=1)


class IpAdapter(Model):
    """Style or identity taken from a reference picture: one for the recipe, or `reference_uri` in the manifest's row.

    `encoder` is the folder of the CLIP vision model beside `file`.
    """

    name: str = "h94/IP-Adapter"
    file: Below = "models/ip-adapter_sd15.safetensors"
    encoder: Below = "models/image_encoder"
    scale: float = Field(default=0.6, ge=0, le=2)
    reference: str | None = None  # any fsspec address
    reference_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # as `sha256` is of weights


class SafetyChecker(Model):
    """Stable Diffusion's own checker, and what is done of what it finds."""

    name: str = "CompVis/stable-diffusion-safety-checker"
    policy: Literal["off", "flag", "drop"] = "off"  # drop: the picture becomes a failure
