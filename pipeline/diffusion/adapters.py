"""What a recipe adds to a loaded checkpoint: LoRAs, textual inversions, an IP-Adapter. Weights alone are read."""

from typing import Any

import torch
from diffusers.models.embeddings import ImageProjection, IPAdapterPlusImageProjection
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from pipeline import storage
from pipeline.errors import ModelError
from pipeline.models.resolve import LocatedModel
from pipeline.models.safe_load import load_complete, read_weights
from schemas.models import IpAdapter
from schemas.recipe import Recipe

_TEXT_ENCODERS = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))


def fuse_loras(pipe: Any, recipe: Recipe, found: dict[str, LocatedModel]) -> None:  # noqa: ANN401 - diffusers' pipelines share no type
    """Fuse the recipe's LoRAs into the UNet and the text encoders, each at its weight. Raises `ModelError`."""
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
            message = (
                f"{storage.redact(lora.name)}/{lora.file} changes nothing of this base: none of its layers is there"
            )
            raise ModelError(message, "Name a LoRA of the base model's family.")
    pipe.set_adapters(list(weights), list(weights.values()))
    pipe.fuse_lora(components=sorted(touched), adapter_names=list(weights))
    pipe.unload_lora_weights()


def load_embeddings(pipe: Any, recipe: Recipe, found: dict[str, LocatedModel]) -> None:  # noqa: ANN401 - as above
    """Teach the tokenizers and text encoders the recipe's textual inversions. Raises `ModelError`."""
    for embedding in recipe.embeddings:
        located = found[f"embedding-{embedding.token}"]
        state = read_weights(located.folder / embedding.file)
        for (encoder, tokenizer), part in zip(
            _TEXT_ENCODERS, _parts(pipe, state, storage.redact(embedding.name)), strict=False
        ):
            pipe.load_textual_inversion(
                part, token=embedding.token, text_encoder=getattr(pipe, encoder), tokenizer=getattr(pipe, tokenizer)
            )


def load_ip_adapter(pipe: Any, adapter: IpAdapter, found: LocatedModel, dtype: torch.dtype) -> None:  # noqa: ANN401 - as above
    """Give the UNet an IP-Adapter at its scale, and the pipeline its image encoder. Raises `ModelError`."""
    state = read_weights(found.folder / adapter.file)
    if "image_proj" not in state:  # safetensors has no nesting
        state = {
            part: {
                name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")
            }
            for part in ("image_proj", "ip_adapter")
        }
    folder = found.folder / adapter.encoder
    encoder = load_complete(CLIPVisionModelWithProjection, folder, dtype)
    side = int(encoder.config.image_size)  # some models have two sides, CLIP's one
    seen = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    pipe.register_modules(image_encoder=encoder, feature_extractor=seen)
    pipe.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(adapter.scale)
    _refuse_other_encoder(pipe.unet.encoder_hid_proj.image_projection_layers[0], encoder, adapter)


def _refuse_other_encoder(projection: Any, encoder: Any, adapter: IpAdapter) -> None:  # noqa: ANN401 - as above
    """Refuse an image encoder of another width than the adapter was trained with: its first picture would fail."""
    if isinstance(projection, ImageProjection):
        wanted, found = projection.image_embeds.in_features, encoder.config.projection_dim
    elif isinstance(projection, IPAdapterPlusImageProjection):  # looks at each of the encoder's patches
        wanted, found = projection.proj_in.in_features, encoder.config.hidden_size
    else:
        return
    if wanted != found:
        message = f"{storage.redact(adapter.name)}/{adapter.file} was made for an image encoder of width {wanted}"
        raise ModelError(message, f"{adapter.encoder} has {found}: name the adapter's own as ip_adapter.encoder.")


def _parts(pipe: Any, state: dict[str, Any], name: str) -> list[dict[str, Any]]:  # noqa: ANN401 - as above
    """Return a textual inversion's vectors for each text encoder; those of SDXL name them clip_l and clip_g."""
    if getattr(pipe, "text_encoder_2", None) is None:
        return [state]
    if not {"clip_l", "clip_g"} <= state.keys():
        message = f"{name}: an embedding for SDXL has vectors for both of its text encoders, clip_l and clip_g"
        raise ModelError(message, f"This one has {', '.join(list(state)[:4])}.")
    return [{"clip_l": state["clip_l"]}, {"clip_g": state["clip_g"]}]
