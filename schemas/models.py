"""The models that a recipe names: the source of the weights, and the settings of each kind of model."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

# The keys that locate weights. They do not affect the digest of a recipe once the sha256 of the weights is known.
LOCATION_KEYS = frozenset({"name", "revision", "variant", "file", "weights"})


def _check_relative(path: str) -> str:
    if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} is not a path inside the folder or repository of `name`")
    return path


RelativePath = Annotated[str, AfterValidator(_check_relative)]
"""The path of a file or folder, relative to the folder or repository of `name`."""


class StrictModel(BaseModel):
    """Base class of all parts of a recipe: immutable, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(StrictModel):
    """The source of the weights of a model.

    `name` is a repository of the Hugging Face hub (`org/name`), a local folder, the address of a bucket folder, or a
    model that ships with the program (`builtin:demo`). `photo2anime recipes lock` writes `sha256`. If it is set,
    weights with another digest are an error.
    """

    name: str = Field(min_length=1)
    revision: str = "main"
    variant: str | None = None  # the variant of the files on the hub, such as fp16
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class Base(Model):
    """A complete checkpoint of Stable Diffusion 1.x, 2.x or XL: a folder in the layout of diffusers, or one file.

    A single file has no configuration. `config` names a checkpoint of the same family; its configuration is used, but
    not its weights.
    """

    file: RelativePath | None = None
    config: Model | None = None

    @model_validator(mode="after")
    def _check_config(self) -> "Base":
        if (self.file is None) != (self.config is None):
            raise ValueError("file and config must be set together: a single file has no configuration")
        return self

    @field_validator("file")
    @classmethod
    def _check_format(cls, file: str | None) -> str | None:
        if file is not None and not file.endswith(".safetensors"):
            raise ValueError(f"{file}: a single-file checkpoint must be a .safetensors file")
        return file


class Vae(Model):
    """An autoencoder that replaces the one of the base model, in a folder or a single file."""

    file: RelativePath | None = None


class Lora(Model):
    """A LoRA, fused into the UNet and the text encoders with `weight`."""

    file: RelativePath = "pytorch_lora_weights.safetensors"  # the default file name of diffusers
    weight: float = Field(default=1.0, ge=-4, le=4)


class Embedding(Model):
    """A textual inversion, which prompts refer to by `token`."""

    file: RelativePath = "learned_embeds.safetensors"
    token: str = Field(min_length=1)


class IpAdapter(Model):
    """An IP-Adapter, which takes the style or identity of a reference image.

    `reference` is one reference image for all photos. Without it, each photo needs a `reference_uri` in the manifest.
    `encoder` is the folder of the CLIP vision model.
    """

    name: str = "h94/IP-Adapter"
    file: RelativePath = "models/ip-adapter_sd15.safetensors"
    encoder: RelativePath = "models/image_encoder"
    scale: float = Field(default=0.6, ge=0, le=2)
    reference: str | None = None  # a local path or any fsspec address
    reference_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # written by `recipes lock`


class SafetyChecker(Model):
    """The safety checker of Stable Diffusion, and the action for flagged images.

    `policy`: `off` does not check, `flag` records the result, `drop` turns each flagged image into a failure.
    """

    name: str = "CompVis/stable-diffusion-safety-checker"
    policy: Literal["off", "flag", "drop"] = "off"
