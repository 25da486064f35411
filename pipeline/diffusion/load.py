"""A recipe's models as one of diffusers' pipelines, or two with a second pass: found, loaded and put together."""

import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, ControlNetModel
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError

from pipeline import storage
from pipeline.diffusion.adapters import fuse_loras, load_embeddings, load_ip_adapter
from pipeline.diffusion.multi_controlnet import MultiControlNet
from pipeline.diffusion.optimizations import Optimizations
from pipeline.errors import ModelError
from pipeline.models.requirements import model_requirements
from pipeline.models.resolve import LocatedModel, is_sdxl, locate, read_model_index
from pipeline.models.safe_load import check_missing_weights, load_complete, weights_on_meta
from schemas.models import Vae
from schemas.recipe import Recipe
from schemas.work import Row

PIPELINES = {
    "text2img": (diffusers.StableDiffusionControlNetPipeline, diffusers.StableDiffusionXLControlNetPipeline),
    "img2img": (
        diffusers.StableDiffusionControlNetImg2ImgPipeline,
        diffusers.StableDiffusionXLControlNetImg2ImgPipeline,
    ),
    "inpaint": (
        diffusers.StableDiffusionControlNetInpaintPipeline,
        diffusers.StableDiffusionXLControlNetInpaintPipeline,
    ),
}
"""By mode, those of Stable Diffusion 1 and 2, and those of XL."""
_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}  # that a checkpoint's index may name
# What diffusers and its libraries raise over weights that are broken, or of another shape than their configuration.
_BROKEN = (
    OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError,
    SingleFileComponentError,
)  # fmt: skip


@dataclass
class LoadedModels:
    """The pipeline of the recipe's mode, that of a second pass, and what both are made of, as `schemas.work.MODEL`."""

    pipe: Any
    upscaler: Any
    xl: bool
    models: list[Row]
    safety_checker: Path | None


def load_models(recipe: Recipe, dtype: torch.dtype, gains: Optimizations) -> LoadedModels:
    """Load what a recipe names into this machine's memory, in `dtype`. Raises `ModelError` for what does not fit."""
    found = {need.role: locate(need) for need in model_requirements(recipe)}
    nets = [found[f"controlnet-{control.detector.name}"] for control in recipe.controls]
    try:
        pipe = _pipeline(recipe, found, _nets(recipe, nets, dtype, gains), dtype)
        load_embeddings(pipe, recipe, found)
        fuse_loras(pipe, recipe, found)
        if recipe.ip_adapter:
            load_ip_adapter(pipe, recipe.ip_adapter, found["ip-adapter"], dtype)
        upscaler = _upscaler(pipe, recipe, found, dtype, gains) if recipe.upscale else None
    except _BROKEN as error:
        message = f"recipe {recipe.name}: its models cannot be loaded ({_reason(error)})"
        raise ModelError(message, "Fetch them anew, or name models that belong together.") from error
    checker = found.get("safety-checker")
    xl = getattr(pipe, "text_encoder_2", None) is not None
    rows = [each.as_row() for each in found.values()]
    return LoadedModels(pipe, upscaler, xl, rows, checker.folder if checker else None)


def build_scheduler(recipe: Recipe, config: dict[str, Any]) -> Any:  # noqa: ANN401 - schedulers share no type
    """Return the recipe's scheduler over a checkpoint's configuration; each pipeline needs its own: it holds state."""
    return getattr(diffusers, recipe.scheduler.name).from_config(config, **recipe.scheduler.settings)


def _pipeline(recipe: Recipe, found: dict[str, LocatedModel], nets: MultiControlNet, dtype: torch.dtype) -> Any:  # noqa: ANN401 - diffusers' pipelines share no type
    base = found["base"]
    configuration = found["config"].folder if recipe.base.config else base.folder
    xl = is_sdxl(configuration)
    kind = PIPELINES[recipe.mode][xl]
    parts: dict[str, Any] = {"controlnet": nets, "feature_extractor": None, "dtype": dtype}
    if not xl:
        parts |= {"safety_checker": None, "requires_safety_checker": False}
    if recipe.vae:
        parts["vae"] = _vae(recipe.vae, found["vae"].folder, configuration / "vae", dtype)
    if recipe.base.file:
        pipe = kind.from_single_file(str(base.folder / recipe.base.file), config=str(configuration), **parts)
        for name, part in pipe.components.items():
            if isinstance(part, torch.nn.Module):
                check_missing_weights(f"{recipe.base.file}, {name}", weights_on_meta(part))
    else:
        parts |= _base_parts(base.folder, recipe.base.variant, dtype, without=parts)
        pipe = kind.from_pretrained(base.folder, **parts)
    pipe.scheduler = build_scheduler(recipe, pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _base_parts(folder: Path, variant: str | None, dtype: torch.dtype, without: Container[str]) -> dict[str, Any]:
    """Return the models of a checkpoint's folder, but for some, of the classes that its index names."""
    index = read_model_index(folder)
    parts: dict[str, Any] = {}
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if name in index and name not in without:
            library, kind = index[name]
            if library not in _LIBRARIES:
                message = f"{folder / 'model_index.json'}: {name} is {library}'s, which is not loaded"
                raise ModelError(message, f"Name a checkpoint of {' and '.join(_LIBRARIES)}.")
            parts[name] = load_complete(getattr(_LIBRARIES[library], kind), folder / name, dtype, variant)
    return parts


def _nets(recipe: Recipe, found: list[LocatedModel], dtype: torch.dtype, gains: Optimizations) -> MultiControlNet:
    chosen = [_net(net, control.net.variant, dtype) for net, control in zip(found, recipe.controls, strict=True)]
    return MultiControlNet(chosen, leave_out=gains.leave_out_nets, embed_once=gains.embed_maps_once)


def _net(found: LocatedModel, variant: str | None, dtype: torch.dtype) -> ControlNetModel:
    net: ControlNetModel = load_complete(ControlNetModel, found.folder, dtype, variant)
    return net


def _vae(vae: Vae, folder: Path, base: Path, dtype: torch.dtype) -> Any:  # noqa: ANN401 - autoencoders share no type
    """Return an autoencoder: of one file with the base's configuration, or of a folder, whose class it names itself."""
    if vae.file:
        return AutoencoderKL.from_single_file(str(folder / vae.file), config=str(base), dtype=dtype)
    kind = json.loads((folder / "config.json").read_text()).get("_class_name", "AutoencoderKL")
    if not kind.startswith("Autoencoder"):
        message = f"{storage.redact(vae.name)} is a {kind}, no autoencoder"
        raise ModelError(message, "Name a VAE.")
    return load_complete(getattr(diffusers, kind), folder, dtype, vae.variant)


def _upscaler(
    pipe: Any,  # noqa: ANN401 - as above
    recipe: Recipe,
    found: dict[str, LocatedModel],
    dtype: torch.dtype,
    gains: Optimizations,
) -> Any:  # noqa: ANN401 - as above
    """Return the second pass: img2img with the tile net, of the same UNet, autoencoder and text encoders."""
    if recipe.upscale is None:
        return None
    net = _net(found["controlnet-upscale"], recipe.upscale.net.variant, dtype)
    nets = MultiControlNet([net], leave_out=gains.leave_out_nets, embed_once=gains.embed_maps_once)
    kind = PIPELINES["img2img"][getattr(pipe, "text_encoder_2", None) is not None]
    shared = {name: part for name, part in pipe.components.items() if name not in ("controlnet", "scheduler")}
    options = {} if "text_encoder_2" in shared else {"requires_safety_checker": False}
    upscaler = kind(**shared, controlnet=nets, scheduler=build_scheduler(recipe, pipe.scheduler.config), **options)
    upscaler.set_progress_bar_config(disable=True)
    return upscaler


def _reason(error: BaseException) -> str:
    if isinstance(error, NotImplementedError):  # what PyTorch says of weights that a single file gave no value
        return "some of their weights are missing"
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"
