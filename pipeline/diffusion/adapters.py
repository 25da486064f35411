"""What a recipe adds to a loaded checkpoint: LoRAs, textual inversions, an IP-Adapter. Weights alone are read."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from pipeline.diffusion.pretrained import load_whole
from pipeline.faults import ModelFault
from pipeline.models import Located
from schemas.models import IpAdapter
from schemas.recipe import Recipe

_TEXT_ENCODERS = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))


def read_weights(path: Path) -> dict[str, Any]:
    """Return the tensors in a file by name, on the CPU. Raises `ModelFault` for a pickle that holds anything else."""
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        message = f"{path}: holds more than weights, or is broken ({type(error).__name__})"
        raise ModelFault(message, "Name a safetensors file.") from error
    if not isinstance(state, dict):
        message = f"{path}: holds a {type(state).__name__}, no weights by name"
        raise ModelFault(message, "Name another file.")
    return state


def fuse_loras(pipe: Any, recipe: Recipe, found: dict[str, Located]) -> None:  # noqa: ANN401 - diffusers' pipelines share no type
    """Fuse the recipe's LoRAs into the UNet and the text encoders, each at its weight. Raises `ModelFault`."""
    if not recipe.loras:
        return
    weights = {}
    for number, lora in enumerate(recipe.loras):
        name = f"lora-{number}"
        pipe.load_lora_weights(read_weights(found[name].folder / lora.file), adapter_name=name)
        weights[name] = lora.weight
    touched = pipe.get_list_adapters()  # component -> its adapters
    reached = {name for adapters in touched.values() for name in adapters}
    for number, lora in enumerate(recipe.loras):
        if f"lora-{number}" not in reached:
            message = f"{lora.name}/{lora.file} changes nothing of this base: none of its layers is there"
            raise ModelFault(message, "Name a LoRA of the base model's family.")
    pipe.set_adapters(list(weights), list(weights.values()))
    pipe.fuse_lora(components=sorted(touched), adapter_names=list(weights))
    pipe.unload_lora_weights()


def load_embeddings(pipe: Any, recipe: Recipe, found: dict[str, Located]) -> None:  # noqa: ANN401 - as above
    """Teach the tokenizers and text encoders the recipe's textual inversions. Raises `ModelFault`."""
    for embedding in recipe.embeddings:
        located = found[f"embedding-{embedding.token}"]
        state = read_weights(located.folder / embedding.file)
        for (encoder, tokenizer), part in zip(_TEXT_ENCODERS, _parts(pipe, state, embedding.name), strict=False):
            pipe.load_textual_inversion(
                part, token=embedding.token, text_encoder=getattr(pipe, encoder), tokenizer=getattr(pipe, tokenizer)
            )


def load_ip_adapter(pipe: Any, adapter: IpAdapter, found: Located, dtype: torch.dtype) -> None:  # noqa: ANN401 - as above
    """Give the UNet an IP-Adapter at its scale, and the pipeline its image encoder. Raises `ModelFault`."""
    state = read_weights(found.folder / adapter.file)
    if "image_proj" not in state:  # safetensors has no nesting
        state = {
            part: {
                name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")
            }
            for part in ("image_proj", "ip_adapter")
        }
    folder = found.folder / adapter.encoder
    encoder = load_whole(CLIPVisionModelWithProjection, folder, dtype)
    side = int(encoder.config.image_size)  # some models have two sides, CLIP's one
    seen = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    pipe.register_modules(image_encoder=encoder, feature_extractor=seen)
    pipe.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(adapter.scale)


def _parts(pipe: Any, state: dict[str, Any], name: str) -> list[dict[str, Any]]:  # noqa: ANN401 - as above
    """Return a textual inversion's vectors for each text encoder; those of SDXL name them clip_l and clip_g."""
    if getattr(pipe, "text_encoder_2", None) is None:
        return [state]
    if not {"clip_l", "clip_g"} <= state.keys():
        message = f"{name}: an embedding for SDXL has vectors for both of its text encoders, clip_l and clip_g"
        raise ModelFault(message, f"This one has {', '.join(list(state)[:4])}.")
    return [{"clip_l": state["clip_l"]}, {"clip_g": state["clip_g"]}]
