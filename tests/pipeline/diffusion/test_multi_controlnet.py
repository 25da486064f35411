"""Several ControlNets as one model: the residuals equal those of diffusers, with less computation."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, MultiControlNetModel

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.multi_controlnet import MultiControlNet
from tests.tiny import WIDTH, tiny_recipe, tiny_requests

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def nets(sd: Path) -> list[ControlNetModel]:
    return [ControlNetModel.from_pretrained(sd / f"net-{number}") for number in range(3)]


@pytest.fixture
def arguments() -> dict[str, Any]:
    """Return arguments for two images with guidance, under three ControlNets of which the second is inactive."""
    random = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(4, 4, 8, 8, generator=random),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(4, 77, WIDTH, generator=random),
        "controlnet_cond": [torch.rand(4, 3, 64, 64, generator=random) for _ in range(3)],  # [N, 3, H, W], 0..1
        "conditioning_scale": [0.7, 0.0, 1.3],
        "return_dict": False,
    }


@torch.inference_mode()
@pytest.mark.parametrize("guess_mode", [False, True])
def test_residuals_match_those_of_diffusers(
    nets: list[ControlNetModel],
    arguments: dict[str, Any],
    guess_mode: bool,  # noqa: FBT001 - a case
) -> None:
    expected = MultiControlNetModel(copy.deepcopy(nets))(**arguments, guess_mode=guess_mode)
    residuals = MultiControlNet(nets)(**arguments, guess_mode=guess_mode)
    for one, other in zip([*residuals[0], residuals[1]], [*expected[0], expected[1]], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_batch_without_guidance_uses_the_last_half_of_the_conditions(
    nets: list[ControlNetModel], arguments: dict[str, Any]
) -> None:
    controlnet = MultiControlNet(nets)
    guided = controlnet(**arguments)
    unguided = controlnet(**arguments | {"sample": arguments["sample"][2:]})
    torch.testing.assert_close(unguided[1], guided[1][2:], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_residuals_are_none_if_every_scale_is_zero(nets: list[ControlNetModel], arguments: dict[str, Any]) -> None:
    assert MultiControlNet(nets)(**arguments | {"conditioning_scale": [0.0] * 3}) == (None, None)


@torch.inference_mode()
def test_offloaded_controlnets_are_copied_one_by_one_and_restored(
    nets: list[ControlNetModel], arguments: dict[str, Any]
) -> None:
    expected = MultiControlNet(copy.deepcopy(nets))(**arguments)[1]
    controlnet = MultiControlNet(nets)
    host_pointers = [[weight.data_ptr() for weight in net.parameters()] for net in nets]
    copied: list[list[bool]] = []  # for each call, which ControlNets have copied weights

    def record_copies(*_: Any) -> None:
        pointers = [[weight.data_ptr() for weight in net.parameters()] for net in nets]
        copied.append([current != host for current, host in zip(pointers, host_pointers, strict=True)])

    for net in nets:
        net.register_forward_pre_hook(record_copies)
    controlnet.offload(torch.device("cpu"))
    assert torch.equal(controlnet(**arguments)[1], expected)
    assert copied == [[True, False, False], [False, False, True]]  # the second does not run
    assert [[weight.data_ptr() for weight in net.parameters()] for net in nets] == host_pointers
    controlnet.to(torch.float64)
    assert {weight.dtype for weight in controlnet.parameters()} == {torch.float64}
    controlnet.to("meta")  # offloaded ControlNets stay on the host
    assert {weight.device.type for net in nets for weight in net.parameters()} == {"cpu"}


def test_controlnets_run_only_in_their_window_and_embed_each_map_once(sd: Path) -> None:
    recipe = tiny_recipe(sd, "text2img", 3, steps=10)
    first, second, third = recipe.controls
    controls = (first, second.model_copy(update={"end": 0.5}), third.model_copy(update={"scale": 0.0}))
    generator = ImageGenerator(recipe.model_copy(update={"controls": controls}))
    calls: Counter[str] = Counter()
    controlnet = generator._passes[0].pipe.controlnet

    def count_calls(name: str) -> Any:
        return lambda *_: calls.update([name])

    for index, net in enumerate(controlnet.nets):
        net.register_forward_pre_hook(count_calls(f"net {index}"))
        controlnet.embeddings[str(index)].register_forward_pre_hook(count_calls(f"map {index}"))
    generator.generate(tiny_requests(1, 3))
    assert calls == {"net 0": 10, "net 1": 5, "map 0": 1, "map 1": 1}
