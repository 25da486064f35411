"""The safety checker flags images, and does not change them."""

from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.safety_checker import SafetyChecker
from tests.tiny import tiny_recipe, tiny_requests

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny safety checker that flags images with more red than blue. Returns its folder."""
    path = tmp_path_factory.mktemp("checker")
    torch.manual_seed(1)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=CLIPTextConfig().to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    )
    red, blue = (torch.zeros(1, 3, 32, 32) for _ in range(2))  # [1, 3, H, W], float32, normalized
    red[:, 0], blue[:, 2] = 2.0, 2.0
    with torch.no_grad():
        features = [checker.visual_projection(checker.vision_model(image)[1]) for image in (red, blue)]  # [1, 8] each
        checker.concept_embeds.copy_(torch.nn.functional.normalize(features[0] - features[1]).expand(17, -1))
        checker.concept_embeds_weights.fill_(0.0)
        checker.special_care_embeds_weights.fill_(1.0)
    checker.save_pretrained(path)
    return path


def test_each_image_of_a_batch_is_checked_and_unchanged(folder: Path) -> None:
    images = torch.zeros(3, 3, 64, 96)  # [N, 3, H, W], float32, 0..1
    images[0, 0], images[1, 2], images[2, 0] = 1.0, 1.0, 1.0
    before = images.clone()
    assert SafetyChecker(folder, torch.device("cpu"))(images).tolist() == [True, False, True]
    assert torch.equal(images, before)


def test_images_are_checked_after_each_pass(folder: Path, sd: Path) -> None:
    upscale = {"net": {"name": str(sd / "net-2")}, "strength": 0.5, "tile": 64, "overlap": 0}
    recipe = tiny_recipe(sd, safety={"name": str(folder), "policy": "flag"}, upscale=upscale)
    generator = ImageGenerator(recipe)
    shapes: list[tuple[int, ...]] = []

    def flag_large_images(images: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(images.shape))
        return torch.tensor([images.shape[2] == 128])

    generator._batched[0].checker = flag_large_images  # type: ignore[assignment]  # a function in place of a SafetyChecker
    (image,) = generator.generate(tiny_requests(1))
    assert shapes == [(1, 3, 64, 64), (1, 3, 128, 128)]
    assert image.nsfw is True


@pytest.mark.parametrize("policy", ["off", "flag"])
def test_images_are_checked_unless_the_safety_policy_is_off(folder: Path, sd: Path, policy: str) -> None:
    recipe = tiny_recipe(sd, safety={"name": str(folder), "policy": policy})
    (image,) = ImageGenerator(recipe).generate(tiny_requests(1))
    assert image.pixels is not None
    assert (image.nsfw is None) == (policy == "off")
