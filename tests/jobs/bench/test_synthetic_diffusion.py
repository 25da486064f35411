"""Random models: the published sizes and operations to the last layer, and they draw."""

from pathlib import Path

import pytest
import torch

from jobs.bench import hardware
from jobs.bench.synthetic_diffusion import ARCHITECTURES, Architecture, bare, components, control_net, loader
from pipeline.diffusion.generator import ImageGenerator
from pipeline.recipes.load import load_recipe
from tests.tiny import CHANNELS, WIDTH, asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")
# As the published files have them: of UNet, ControlNet, autoencoder and text encoders.
WEIGHTS = {
    "sd15": (859_520_964, 361_279_120, 83_653_863, 123_060_480),
    "sdxl": (2_567_463_684, 1_251_014_160, 83_653_863, 123_060_480, 694_659_840),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_weights_are_as_many_as_those_of_the_published_models(name: str) -> None:
    with torch.device("meta"):
        parts = components(ARCHITECTURES[name], torch.float16)
        net = control_net(parts["unet"])
    encoders = [parts[encoder] for encoder in ("text_encoder", "text_encoder_2") if encoder in parts]
    counted = [
        sum(each.numel() for each in part.parameters()) for part in (parts["unet"], net, parts["vae"], *encoders)
    ]
    assert tuple(counted) == WEIGHTS[name]


def test_a_step_of_sd15_takes_the_operations_that_are_known() -> None:
    with torch.device("meta"):
        parts = components(ARCHITECTURES["sd15"], torch.float16)
        latents, text = torch.zeros(1, 4, 64, 64).half(), torch.zeros(1, 77, 768).half()
        step = torch.tensor(1)
        unet = hardware.count_flop(lambda: parts["unet"](latents, step, text))
        net = hardware.count_flop(
            lambda: control_net(parts["unet"])(latents, step, text, torch.zeros(1, 3, 512, 512).half())
        )
    assert (round(unet / 1e9, 1), round(net / 1e9, 1)) == (803.3, 283.3)


def tiny(*, xl: bool) -> Architecture:
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


@pytest.mark.parametrize("mode", ["text2img", "img2img", "inpaint"])
@pytest.mark.parametrize("xl", [False, True])
def test_they_draw_in_every_mode_the_same_each_time(mode: str, xl: bool) -> None:  # noqa: FBT001 - a case
    recipe = bare(tiny_recipe(Path("/none"), mode, 2))
    requests = asked(2, 2, mode)
    first, second = (ImageGenerator(recipe, load_models=loader(tiny(xl=xl))).generate(requests) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.pixels is not None
        assert (one.pixels == other.pixels).all()
    assert (first[0].pixels != first[1].pixels).any()


def test_what_needs_models_of_its_own_is_left_out() -> None:
    fast = bare(load_recipe("sd15-anime-fast"))
    assert (fast.loras, fast.vae, fast.upscale) == ((), None, None)
    assert fast.controls == load_recipe("sd15-anime-fast").controls
