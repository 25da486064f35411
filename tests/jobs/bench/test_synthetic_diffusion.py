"""Random weights have the sizes of the published models, and generate images."""

from pathlib import Path

import pytest
import torch

from jobs.bench.synthetic_diffusion import (
    ARCHITECTURES,
    Architecture,
    components,
    control_net,
    random_model_loader,
    without_extra_models,
)
from pipeline.diffusion.generator import ImageGenerator
from pipeline.recipes.load import load_recipe
from tests.tiny import CHANNELS, WIDTH, tiny_recipe, tiny_requests

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
# Parameters of the published UNet, ControlNet, autoencoder and text encoders.
PUBLISHED_PARAMETERS = {
    "sd15": (859_520_964, 361_279_120, 83_653_863, 123_060_480),
    "sdxl": (2_567_463_684, 1_251_014_160, 83_653_863, 123_060_480, 694_659_840),
}


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_models_have_as_many_parameters_as_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        parts = components(ARCHITECTURES[name], torch.float16)
        network = control_net(parts["unet"])
    encoders = [parts[encoder] for encoder in ("text_encoder", "text_encoder_2") if encoder in parts]
    models = (parts["unet"], network, parts["vae"], *encoders)
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in models]
    assert tuple(counts) == PUBLISHED_PARAMETERS[name]


def tiny(*, xl: bool) -> Architecture:
    """Return an architecture with few weights."""
    blocks = {
        "sample_size": 8, "block_out_channels": CHANNELS, "layers_per_block": 1, "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 4,
    }  # fmt: skip
    vae = {
        "block_out_channels": (8, 8, 8, 16), "latent_channels": 4, "norm_num_groups": 4, "layers_per_block": 1,
        "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    }  # fmt: skip
    text = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    if not xl:
        return Architecture(blocks | {"cross_attention_dim": WIDTH}, vae, text)
    more = {
        "cross_attention_dim": 2 * WIDTH, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
    }  # fmt: skip
    return Architecture(blocks | more, vae, text, text | {"projection_dim": WIDTH})


@pytest.mark.parametrize("xl", [False, True])
def test_random_models_generate_different_images_for_different_requests(xl: bool) -> None:  # noqa: FBT001 - a case
    recipe = without_extra_models(tiny_recipe(Path("/none"), "img2img", 2))
    first, second = ImageGenerator(recipe, load_models=random_model_loader(tiny(xl=xl))).generate(tiny_requests(2, 2))
    assert first.pixels is not None
    assert second.pixels is not None
    assert (first.pixels != second.pixels).any()


def test_recipe_without_extra_models_keeps_its_controls() -> None:
    fast = without_extra_models(load_recipe("sd15-anime-fast"))
    assert (fast.loras, fast.vae, fast.upscale) == ((), None, None)
    assert fast.controls == load_recipe("sd15-anime-fast").controls
