"""The safety checker on tensors: the very answer of the stock one, and no black picture."""

from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.safety_checker import SafetyChecker
from tests.tiny import asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny checker that minds pictures which are more red than blue."""
    home = tmp_path_factory.mktemp("checker")
    torch.manual_seed(1)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=CLIPTextConfig().to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    )
    red, blue = (torch.zeros(1, 3, 32, 32) for _ in range(2))
    red[:, 0], blue[:, 2] = 2.0, 2.0
    with torch.no_grad():
        seen = [checker.visual_projection(checker.vision_model(each)[1]) for each in (red, blue)]
        checker.concept_embeds.copy_(torch.nn.functional.normalize(seen[0] - seen[1]).expand(17, -1))
        checker.concept_embeds_weights.fill_(0.0)
        checker.special_care_embeds_weights.fill_(1.0)
    checker.save_pretrained(home)
    return home


def test_it_answers_for_each_picture(folder: Path) -> None:
    pictures = torch.zeros(3, 3, 64, 96)
    pictures[0, 0], pictures[1, 2], pictures[2, 0] = 1.0, 1.0, 1.0
    before = pictures.clone()
    assert SafetyChecker(folder, torch.device("cpu"))(pictures).tolist() == [True, False, True]
    assert torch.equal(pictures, before)


def test_it_is_asked_about_the_second_pass_too(folder: Path, sd: Path) -> None:
    upscale = {"net": {"name": str(sd / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 0}
    recipe = tiny_recipe(sd, safety={"name": str(folder), "policy": "flag"}, upscale=upscale)
    subject = ImageGenerator(recipe)
    seen: list[tuple[int, ...]] = []

    def answers(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(pictures.shape))
        return torch.tensor([pictures.shape[2] == 128])

    subject._batched[0].checker = answers  # type: ignore[assignment]  # finds something in the large picture alone
    (drawing,) = subject.generate(asked(1))
    assert seen == [(1, 3, 64, 64), (1, 3, 128, 128)]
    assert drawing.nsfw is True


@pytest.mark.parametrize("policy", ["off", "flag"])
def test_a_drawing_says_what_was_found(folder: Path, sd: Path, policy: str) -> None:
    recipe = tiny_recipe(sd, safety={"name": str(folder), "policy": policy})
    (drawing,) = ImageGenerator(recipe).generate(asked(1))
    assert drawing.pixels is not None
    assert (drawing.nsfw is None) == (policy == "off")
