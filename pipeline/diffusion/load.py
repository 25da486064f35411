"""Load the models of a recipe into a diffusers pipeline, or into two if the recipe has a second pass."""

import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, ControlNetModel, ModelMixin
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError

from pipeline import storage
from pipeline.diffusion.adapters import fuse_loras, load_embeddings, load_ip_adapter
from pipeline.diffusion.multi_controlnet import MultiControlNet
from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.types import DiffusionPipeline, Scheduler
from pipeline.errors import MissingWeightsError, ModelError
from pipeline.models.requirements import model_requirements
from pipeline.models.resolve import LocatedModel, is_sdxl, locate, read_model_index
from pipeline.models.safe_load import check_missing_weights, load_complete, weights_on_meta
from schemas.models import Vae
from schemas.recipe import Recipe
from schemas.row_parts import ModelColumns

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
"""Pipeline classes by mode: for Stable Diffusion 1 and 2, and for SDXL."""
_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
# The exceptions of diffusers and its libraries for corrupt weights, and for weights of other shapes than configured.
_LOAD_ERRORS = (
    OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError,
    SingleFileComponentError,
)  # fmt: skip


@dataclass
class LoadedModels:
    """The loaded models of a recipe.

    Attributes:
        pipe: The pipeline of the recipe's mode.
        upscaler: The pipeline of the second pass. None if the recipe has none.
        xl: Whether the base is SDXL.
        models: The name, revision and digest of each model.
        safety_checker: The folder of the safety checker. None if the recipe has none.
    """

    pipe: DiffusionPipeline
    upscaler: DiffusionPipeline | None
    xl: bool
    models: list[ModelColumns]
    safety_checker: Path | None


def load_models(recipe: Recipe, dtype: torch.dtype, optimizations: Optimizations) -> LoadedModels:
    """Load the models of a recipe into the memory of the host.

    Args:
        recipe: The recipe.
        dtype: The dtype of the weights.
        optimizations: The optimizations of the ControlNets.

    Raises:
        MissingWeightsError: The files of a model lack some of its weights.
        ModelMismatchError: Two models are incompatible.
        ModelError: A model is missing, corrupt or unsupported.
    """
    located = {need.role: locate(need) for need in model_requirements(recipe)}
    try:
        pipe = _load_pipeline(recipe, located, _load_controlnets(recipe, located, dtype, optimizations), dtype)
        load_embeddings(pipe, recipe, located)
        fuse_loras(pipe, recipe, located)
        if recipe.ip_adapter:
            load_ip_adapter(pipe, recipe.ip_adapter, located["ip-adapter"], dtype)
        upscaler = _load_upscaler(pipe, recipe, located, dtype, optimizations)
    except NotImplementedError as error:  # by torch, for a weight that no file contained
        raise MissingWeightsError(f"recipe {recipe.name}: its models lack some of their weights") from error
    except _LOAD_ERRORS as error:
        raise ModelError(
            f"recipe {recipe.name}: its models cannot be loaded ({_summarize(error)})",
            "Download them again, or choose models of one family.",
        ) from error
    checker = located.get("safety-checker")
    models = [model.columns() for model in located.values()]
    return LoadedModels(pipe, upscaler, _is_sdxl_pipeline(pipe), models, checker.folder if checker else None)


def build_scheduler(recipe: Recipe, config: dict[str, Any]) -> Scheduler:
    """Build the scheduler of a recipe.

    Args:
        recipe: The recipe, whose settings take precedence.
        config: The configuration of the base model's scheduler.

    Returns:
        A new scheduler. Pipelines cannot share one, because it has state.
    """
    return getattr(diffusers, recipe.scheduler.name).from_config(config, **recipe.scheduler.settings)


def _load_pipeline(
    recipe: Recipe, located: dict[str, LocatedModel], controlnet: MultiControlNet, dtype: torch.dtype
) -> DiffusionPipeline:
    base = located["base"].folder
    config = located["config"].folder if recipe.base.config else base
    xl = is_sdxl(config)
    pipeline_class = PIPELINES[recipe.mode][xl]
    options: dict[str, Any] = {"controlnet": controlnet, "feature_extractor": None, "dtype": dtype}
    if not xl:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    if recipe.vae:
        options["vae"] = _load_vae(recipe.vae, located["vae"].folder, config / "vae", dtype)
    if recipe.base.file:
        pipe = pipeline_class.from_single_file(str(base / recipe.base.file), config=str(config), **options)
        for name, component in pipe.components.items():
            if isinstance(component, torch.nn.Module):
                check_missing_weights(f"{recipe.base.file}, {name}", weights_on_meta(component))
    else:
        options |= _load_base_models(base, recipe.base.variant, dtype, exclude=options)
        pipe = pipeline_class.from_pretrained(base, **options)
    pipe.scheduler = build_scheduler(recipe, pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _load_base_models(
    folder: Path, variant: str | None, dtype: torch.dtype, exclude: Container[str]
) -> dict[str, ModelMixin | transformers.PreTrainedModel]:
    """Load the UNet, the autoencoder and the text encoders of a base from a folder in the layout of diffusers.

    Returns the models by component name, without the components in `exclude`, which the recipe replaces.
    """
    index = read_model_index(folder)
    models: dict[str, ModelMixin | transformers.PreTrainedModel] = {}
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if name in index and name not in exclude:
            library, class_name = index[name]
            if library not in _LIBRARIES:
                raise ModelError(
                    f"{folder / 'model_index.json'}: the library {library} of {name} is not supported",
                    f"Choose a base whose models are from {' or '.join(_LIBRARIES)}.",
                )
            models[name] = load_complete(getattr(_LIBRARIES[library], class_name), folder / name, dtype, variant)
    return models


def _load_controlnets(
    recipe: Recipe, located: dict[str, LocatedModel], dtype: torch.dtype, optimizations: Optimizations
) -> MultiControlNet:
    controlnets = [
        load_complete(
            ControlNetModel, located[f"controlnet-{control.detector.name}"].folder, dtype, control.net.variant
        )
        for control in recipe.controls
    ]
    return _combine(controlnets, optimizations)


def _combine(controlnets: list[ControlNetModel], optimizations: Optimizations) -> MultiControlNet:
    return MultiControlNet(controlnets, leave_out=optimizations.skip_inactive, embed_once=optimizations.embed_maps_once)


def _load_vae(vae: Vae, folder: Path, base_config: Path, dtype: torch.dtype) -> ModelMixin:
    """Load an autoencoder from a folder, or from a single file with the configuration of the base's autoencoder."""
    if vae.file:
        return AutoencoderKL.from_single_file(str(folder / vae.file), config=str(base_config), dtype=dtype)
    class_name = json.loads((folder / "config.json").read_text()).get("_class_name", "AutoencoderKL")
    if not class_name.startswith("Autoencoder"):
        raise ModelError(f"{storage.redact(vae.name)}: {class_name} is not an autoencoder", "Choose an autoencoder.")
    return load_complete(getattr(diffusers, class_name), folder, dtype, vae.variant)


def _load_upscaler(
    pipe: DiffusionPipeline,
    recipe: Recipe,
    located: dict[str, LocatedModel],
    dtype: torch.dtype,
    optimizations: Optimizations,
) -> DiffusionPipeline | None:
    """Load the tile ControlNet into an img2img pipeline that shares all other models with `pipe`."""
    if recipe.upscale is None:
        return None
    folder = located["controlnet-upscale"].folder
    controlnet = load_complete(ControlNetModel, folder, dtype, recipe.upscale.net.variant)
    xl = _is_sdxl_pipeline(pipe)
    shared = {name: model for name, model in pipe.components.items() if name not in ("controlnet", "scheduler")}
    options = {} if xl else {"requires_safety_checker": False}
    scheduler = build_scheduler(recipe, pipe.scheduler.config)
    upscaler = PIPELINES["img2img"][xl](
        **shared, controlnet=_combine([controlnet], optimizations), scheduler=scheduler, **options
    )
    upscaler.set_progress_bar_config(disable=True)
    return upscaler


def _is_sdxl_pipeline(pipe: DiffusionPipeline) -> bool:
    return getattr(pipe, "text_encoder_2", None) is not None


def _summarize(error: Exception) -> str:
    """Return the class and the first line of an error."""
    first_line = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first_line}"
