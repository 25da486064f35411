"""Where models lie: arranged for speed, or taking turns where memory is low, and the picture is the same."""

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from jobs.bench.synthetic_diffusion import ARCHITECTURES, components, control_net
from pipeline.diffusion import memory
from pipeline.diffusion.batching import GENERATED_IN_FLOAT32
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.multi_controlnet import MultiControlNet
from pipeline.diffusion.optimizations import NO_OPTIMIZATIONS, Optimizations
from pipeline.diffusion.request import GeneratedImage
from pipeline.recipes.load import load_recipe
from tests.tiny import apart, asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")


def worst(some: list[GeneratedImage], others: list[GeneratedImage]) -> int:
    return max(apart(*both) for both in zip(some, others, strict=True))


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_each_gain_of_arrangement_is_there_and_leaves_the_picture(families: dict[str, Path], family: str) -> None:
    recipe, requests = tiny_recipe(families[family], "img2img", 2), asked(1, 2)
    plain = ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS).generate(requests)
    swift = ImageGenerator(recipe, optimizations=replace(NO_OPTIMIZATIONS, channels_last=True, fuse_projections=True))
    for part in (swift.pipe.unet, swift.pipe.vae, *swift.pipe.controlnet.nets):
        weight = next(each for each in part.parameters() if each.ndim == 4 and each.shape[2] > 1)
        assert weight.is_contiguous(memory_format=torch.channels_last)
    for part in (swift.pipe.unet, *swift.pipe.controlnet.nets):
        attention = [module for module in part.modules() if isinstance(module, Attention)]
        assert attention
        assert all(hasattr(module, "to_kv" if module.is_cross_attention else "to_qkv") for module in attention)
    assert worst(swift.generate(requests), plain) <= 1


@pytest.mark.parametrize(
    "gain", ["leave_out_nets", "embed_maps_once", "encode_together", "keep_prompts", "travel_as_bytes"]
)
def test_each_other_gain_alone_leaves_the_picture(sd: Path, gain: str) -> None:
    recipe = tiny_recipe(sd, "img2img", 2)
    quiet = recipe.controls[1].model_copy(update={"end": 0.5})
    recipe, requests = recipe.model_copy(update={"controls": (recipe.controls[0], quiet)}), asked(2, 2)
    plain = ImageGenerator(recipe, optimizations=NO_OPTIMIZATIONS).generate(requests)
    assert (
        worst(ImageGenerator(recipe, optimizations=replace(NO_OPTIMIZATIONS, **{gain: True})).generate(requests), plain)
        <= 1
    )


def taking_turns(subject: ImageGenerator) -> None:
    """Let the models of a pipeline take turns, by the hooks that a GPU's would, on the CPU."""
    memory.offload(subject.pipe, torch.device("cpu"))
    for part in (subject.pipe.unet, subject.pipe.vae, subject.pipe.text_encoder, subject.pipe.controlnet):
        assert hasattr(part, "_hf_hook")


@pytest.mark.parametrize("room", [1e9, 0], ids=["nets together", "nets one by one"])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("mode", ["text2img", "img2img", "inpaint"])
def test_models_that_take_turns_draw_the_same(
    families: dict[str, Path], family: str, mode: str, room: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CONTROLNET_MEMORY", room)
    recipe = tiny_recipe(families[family], mode, 2, memory="low")
    requests, subject = asked(3, 2, mode), ImageGenerator(recipe)
    taking_turns(subject)
    subject.resize(2)
    assert (
        worst(subject.generate(requests), ImageGenerator(tiny_recipe(families[family], mode, 2)).generate(requests))
        <= 1
    )


@pytest.mark.parametrize("room", [1e9, 0], ids=["nets together", "nets one by one"])
def test_models_that_take_turns_draw_again_in_float32(sd: Path, room: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CONTROLNET_MEMORY", room)
    recipe = tiny_recipe(sd, memory="low")
    subject = ImageGenerator(recipe, dtype=torch.bfloat16)
    taking_turns(subject)
    subject.pipe.unet.conv_out.register_forward_hook(
        lambda layer, _given, said: said * float("nan") if layer.weight.dtype == torch.bfloat16 else None
    )
    for _ in range(2):
        (drawing,) = subject.generate(asked(1))
        assert drawing.retried == (GENERATED_IN_FLOAT32,)
        assert drawing.pixels is not None
        assert subject.pipe.unet.dtype == torch.bfloat16


def test_low_memory_draws_with_a_tiny_autoencoder_too() -> None:
    requests = asked(2, 3)
    low, plain = (ImageGenerator(load_recipe("demo", ["steps=2", f"memory={memory}"])) for memory in ("low", "normal"))
    assert worst(low.generate(requests), plain.generate(requests)) <= 1


def test_pictures_that_are_large_are_decoded_in_tiles_and_differ_a_little(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(sd, memory="low", area=128 * 128)
    assert not ImageGenerator(recipe).pipe.vae.use_tiling
    photo = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
    requests = [replace(each, photo=photo, maps=(photo,)) for each in asked(1)]
    (whole,) = ImageGenerator(recipe).generate(requests)
    monkeypatch.setattr(memory, "UNTILED_PIXELS", 64 * 64)
    subject = ImageGenerator(recipe)
    assert subject.pipe.vae.use_tiling
    (tiled,) = subject.generate(requests)
    assert tiled.pixels is not None
    assert whole.pixels is not None
    at_place, *beside = (
        np.abs(np.roll(tiled.pixels.astype(int), shift, (0, 1)) - whole.pixels).mean()
        for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    )
    assert at_place < 0.6 * min(beside)  # 13 of 255 and 24, by an autoencoder of noise that sees 8x8 latents at once


class Held(TorchDispatchMode):
    """Counts the bytes of the tensors that live at once, where nothing but their shapes is there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self._known:
                self._known.add(storage._cdata)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, name: int, size: int) -> None:
        self._known.discard(name)
        self.now -= size


def bytes_of(*modules: torch.nn.Module) -> int:
    return sum(weight.nbytes for module in modules for weight in module.parameters())


@pytest.mark.parametrize(("name", "card"), [("sd15", 6e9), ("sdxl", 12e9)])
def test_two_pictures_under_three_nets_fit_on_a_small_card(name: str, card: float) -> None:
    architecture, batch, kind = ARCHITECTURES[name], 2 * 2, {"device": "meta", "dtype": torch.float16}  # with guidance
    with torch.device("meta"):
        parts = components(architecture, torch.float16)
        unet, nets = parts["unet"], MultiControlNet([control_net(parts["unet"]) for _ in range(3)])
    side, width = architecture.unet["sample_size"], architecture.unet["cross_attention_dim"]
    given = {
        "sample": torch.zeros(batch, 4, side, side, **kind), "timestep": torch.tensor(1, device="meta"),
        "encoder_hidden_states": torch.zeros(batch, 77, width, **kind), "return_dict": False,
    }  # fmt: skip
    if name == "sdxl":
        pooled, sizes = torch.zeros(batch, 1280, **kind), torch.zeros(batch, 6, **kind)
        given["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
    maps = [torch.zeros(batch, 3, 8 * side, 8 * side, **kind) for _ in range(3)]
    held = Held()
    with torch.inference_mode(), held:
        down, middle = nets(controlnet_cond=maps, conditioning_scale=[1.0] * 3, **given)
        unet(down_block_additional_residuals=down, mid_block_additional_residual=middle, **given)
    together = bytes_of(nets)
    of_nets = together if together <= memory.CONTROLNET_MEMORY else bytes_of(nets.nets[0], nets.embeddings)
    whole = bytes_of(unet, parts["vae"]) + of_nets + held.most
    assert held.most > 0.3e9  # all that a step holds was seen
    assert whole < 0.8 * card  # the rest is the system's, and kernels' workspace


def test_gains_are_all_on_but_compilation() -> None:
    assert vars(Optimizations()) == {name: name != "compiled" for name in vars(NO_OPTIMIZATIONS)}
    assert not any(vars(NO_OPTIMIZATIONS).values())
