"""Nets that say nothing are not run, maps are embedded once, and the sum is diffusers' own."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, MultiControlNetModel

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.multi_controlnet import MultiControlNet
from tests.tiny import WIDTH, asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def nets(sd: Path) -> list[ControlNetModel]:
    return [ControlNetModel.from_pretrained(sd / f"net-{number}") for number in range(3)]


@pytest.fixture
def arguments() -> dict[str, Any]:
    random = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(4, 4, 8, 8, generator=random),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(4, 77, WIDTH, generator=random),
        "controlnet_cond": [torch.rand(4, 3, 64, 64, generator=random) for _ in range(3)],
        "conditioning_scale": [0.7, 0.0, 1.3],
        "return_dict": False,
    }


@torch.inference_mode()
@pytest.mark.parametrize("guess", [False, True])
def test_the_sum_is_diffusers_own(nets: list[ControlNetModel], arguments: dict[str, Any], guess: bool) -> None:  # noqa: FBT001 - a case
    theirs = MultiControlNetModel(copy.deepcopy(nets))(**arguments, guess_mode=guess)
    ours = MultiControlNet(nets)(**arguments, guess_mode=guess)
    for one, other in zip([*ours[0], ours[1]], [*theirs[0], theirs[1]], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_without_guidance_the_maps_of_the_prompts_are_left(
    nets: list[ControlNetModel], arguments: dict[str, Any]
) -> None:
    subject = MultiControlNet(nets)
    whole = subject(**arguments)
    shorter = subject(**arguments | {"sample": arguments["sample"][2:]})
    torch.testing.assert_close(shorter[1], whole[1][2:], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_where_every_net_is_silent_nothing_is_said(nets: list[ControlNetModel], arguments: dict[str, Any]) -> None:
    assert MultiControlNet(nets)(**arguments | {"conditioning_scale": [0.0] * 3}) == (None, None)


@torch.inference_mode()
def test_nets_that_take_turns_are_on_the_device_one_by_one_and_come_back(
    nets: list[ControlNetModel], arguments: dict[str, Any]
) -> None:
    wanted = MultiControlNet(copy.deepcopy(nets))(**arguments)[1]
    subject = MultiControlNet(nets)
    hosts = [[weight.data_ptr() for weight in net.parameters()] for net in nets]
    there: list[list[bool]] = []  # at each call, whether a net's weights are copies

    def noted(*_: Any) -> None:
        now = [[weight.data_ptr() for weight in net.parameters()] for net in nets]
        there.append([pointers != host for pointers, host in zip(now, hosts, strict=True)])

    for net in nets:
        net.register_forward_pre_hook(noted)
    subject.take_turns(torch.device("cpu"))
    assert torch.equal(subject(**arguments)[1], wanted)
    assert there == [[True, False, False], [False, False, True]]  # the second is silent
    assert [[weight.data_ptr() for weight in net.parameters()] for net in nets] == hosts
    subject.to(torch.float64)
    assert {weight.dtype for weight in subject.parameters()} == {torch.float64}
    subject.to("meta")  # stands for a device: what is not there stays
    assert {weight.device.type for net in nets for weight in net.parameters()} == {"cpu"}


def test_calls_are_as_few_as_windows_and_maps_allow(sd: Path) -> None:
    recipe = tiny_recipe(sd, "text2img", 3, steps=10)
    first, second, third = recipe.controls
    controls = (first, second.model_copy(update={"end": 0.5}), third.model_copy(update={"scale": 0.0}))
    subject = ImageGenerator(recipe.model_copy(update={"controls": controls}))
    calls: Counter[str] = Counter()
    nets = subject._passes[0].pipe.controlnet

    def counts(what: str) -> Any:
        return lambda *_: calls.update([what])

    for place, net in enumerate(nets.nets):
        net.register_forward_pre_hook(counts(f"net {place}"))
        nets.embeddings[str(place)].register_forward_pre_hook(counts(f"map {place}"))
    subject.generate(asked(1, 3))
    assert calls == {"net 0": 10, "net 1": 5, "map 0": 1, "map 1": 1}
