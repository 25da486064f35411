"""Add the LoRAs, the textual inversions and the IP-Adapter of a recipe to a pipeline."""

from typing import Any

import torch
from diffusers.models.embeddings import ImageProjection, IPAdapterPlusImageProjection
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from pipeline import storage
from pipeline.diffusion.types import DiffusionPipeline
from pipeline.errors import ModelMismatchError
from pipeline.models.resolve import LocatedModel
from pipeline.models.safe_load import load_complete, read_weights
from schemas.models import IpAdapter
from schemas.recipe import Recipe

_TEXT_ENCODERS = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))


def fuse_loras(pipe: DiffusionPipeline, recipe: Recipe, located: dict[str, LocatedModel]) -> None:
    """Add the weighted LoRAs of a recipe to the weights of the UNet and the text encoders.

    Args:
        pipe: The pipeline to change.
        recipe: The recipe.
        located: The models of the recipe by role, such as `lora-0`.

    Raises:
        ModelMismatchError: The base has none of the layers of a LoRA.
        ModelError: The file of a LoRA is invalid.
    """
    if not recipe.loras:
        return
    weights = {}
    for number, lora in enumerate(recipe.loras):
        name = f"lora-{number}"
        pipe.load_lora_weights(read_weights(located[name].folder / lora.file), adapter_name=name)
        weights[name] = lora.weight
    components = pipe.get_list_adapters()  # component -> names of its adapters
    matched = {name for names in components.values() for name in names}
    for number, lora in enumerate(recipe.loras):
        if f"lora-{number}" not in matched:
            file = f"{storage.redact(lora.name)}/{lora.file}"
            raise ModelMismatchError(
                f"{file}: the base has none of the layers of this LoRA", "Choose a LoRA of the base model's family."
            )
    pipe.set_adapters(list(weights), list(weights.values()))
    pipe.fuse_lora(components=sorted(components), adapter_names=list(weights))
    pipe.unload_lora_weights()


def load_embeddings(pipe: DiffusionPipeline, recipe: Recipe, located: dict[str, LocatedModel]) -> None:
    """Add the textual inversions of a recipe to the tokenizers and the text encoders.

    Args:
        pipe: The pipeline to change.
        recipe: The recipe.
        located: The models of the recipe by role, such as `embedding-TOKEN`.

    Raises:
        ModelMismatchError: The base is SDXL, and an embedding lacks vectors for one of its text encoders.
        ModelError: The file of an embedding is invalid.
    """
    for embedding in recipe.embeddings:
        state = read_weights(located[f"embedding-{embedding.token}"].folder / embedding.file)
        vectors = _split_by_encoder(pipe, state, storage.redact(embedding.name))
        for (encoder, tokenizer), encoder_vectors in zip(_TEXT_ENCODERS, vectors, strict=False):
            pipe.load_textual_inversion(
                encoder_vectors,
                token=embedding.token,
                text_encoder=getattr(pipe, encoder),
                tokenizer=getattr(pipe, tokenizer),
            )


def load_ip_adapter(pipe: DiffusionPipeline, adapter: IpAdapter, located: LocatedModel, dtype: torch.dtype) -> None:
    """Add an IP-Adapter to the UNet, and its image encoder to the pipeline.

    Args:
        pipe: The pipeline to change.
        adapter: The settings of the recipe.
        located: The located adapter.
        dtype: The dtype of the image encoder.

    Raises:
        ModelMismatchError: The adapter was trained with an image encoder of another width.
        ModelError: A file is invalid, or weights are missing.
    """
    state = read_weights(located.folder / adapter.file)
    if "image_proj" not in state:  # keys of safetensors are flat, and diffusers expects nested ones
        state = {
            part: {
                name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")
            }
            for part in ("image_proj", "ip_adapter")
        }
    encoder = load_complete(CLIPVisionModelWithProjection, located.folder / adapter.encoder, dtype)
    side = int(encoder.config.image_size)  # CLIP's images are square
    processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    pipe.register_modules(image_encoder=encoder, feature_extractor=processor)
    pipe.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(adapter.scale)
    _check_encoder_width(pipe.unet.encoder_hid_proj.image_projection_layers[0], encoder, adapter)


def _check_encoder_width(
    projection: torch.nn.Module, encoder: CLIPVisionModelWithProjection, adapter: IpAdapter
) -> None:
    """Check that the image encoder has the width that the adapter expects, before the first image fails."""
    if isinstance(projection, ImageProjection):
        expected, actual = projection.image_embeds.in_features, encoder.config.projection_dim
    elif isinstance(projection, IPAdapterPlusImageProjection):  # its input is one embedding for each patch
        expected, actual = projection.proj_in.in_features, encoder.config.hidden_size
    else:
        return
    if expected != actual:
        raise ModelMismatchError(
            f"{storage.redact(adapter.name)}/{adapter.file}: the adapter needs an image encoder of width {expected}, "
            f"and {adapter.encoder} has {actual}",
            "Set ip_adapter.encoder to the encoder of this adapter.",
        )


def _split_by_encoder(pipe: DiffusionPipeline, state: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the vectors of a textual inversion for each text encoder. Files for SDXL name them clip_l and clip_g."""
    if getattr(pipe, "text_encoder_2", None) is None:
        return [state]
    if not {"clip_l", "clip_g"} <= state.keys():
        raise ModelMismatchError(
            f"{name}: an embedding for SDXL needs clip_l and clip_g, and this one has {', '.join(list(state)[:4])}",
            "Choose an embedding that was made for SDXL.",
        )
    return [{"clip_l": state["clip_l"]}, {"clip_g": state["clip_g"]}]
