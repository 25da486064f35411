"""Tests of loading models: replaced autoencoders, single-file checkpoints, and invalid weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.load import load_models
from pipeline.diffusion.optimizations import Optimizations
from pipeline.diffusion.request import GeneratedImage
from pipeline.errors import MissingWeightsError, ModelError
from pipeline.models.checks import check_models
from schemas.recipe import Recipe
from tests.single_file import write_single_file
from tests.tiny import pixel_difference, tiny_recipe, tiny_requests

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def generate(recipe: Recipe) -> GeneratedImage:
    return ImageGenerator(recipe).generate(tiny_requests(1))[0]


def load(recipe: Recipe) -> None:
    load_models(recipe, torch.float32, Optimizations())


def remove_weight(path: Path, suffix: str) -> None:
    """Rewrite a file without the first weight whose name has this suffix."""
    state = load_file(path)
    del state[next(name for name in state if name.endswith(suffix))]
    save_file(state, path, metadata={"format": "pt"})


def test_a_tiny_autoencoder_replaces_that_of_the_base(sd: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    channels = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    blocks = {"num_encoder_blocks": (1,) * 4, "num_decoder_blocks": (1,) * 4}
    AutoencoderTiny(**channels, **blocks, latent_channels=4).save_pretrained(tmp_path)
    generator = ImageGenerator(tiny_recipe(sd, vae={"name": str(tmp_path)}))
    (image,) = generator.generate(tiny_requests(1))
    assert pixel_difference(image, generate(tiny_recipe(sd))) > 5
    assert [model.role for model in generator.made_by(tiny_requests(1)[0], image).models][:2] == ["base", "vae"]


def test_a_single_file_checkpoint_generates_the_same_image_as_its_folder(sd: Path, tmp_path: Path) -> None:
    write_single_file(sd / "base", tmp_path / "checkpoint.safetensors")
    base = {"name": str(tmp_path), "file": "checkpoint.safetensors", "config": {"name": str(sd / "base")}}
    recipe = tiny_recipe(sd, base=base)
    assert check_models(recipe) == frozenset()
    generator = ImageGenerator(recipe)
    (image,) = generator.generate(tiny_requests(1))
    expected = generate(tiny_recipe(sd))
    assert pixel_difference(image, expected) == 0
    assert [model.role for model in generator.made_by(tiny_requests(1)[0], image).models][:2] == ["base", "config"]
    state = load_file(tmp_path / "checkpoint.safetensors")
    state["model.diffusion_model.out.2.weight"] *= 1.2
    save_file(state, tmp_path / "checkpoint.safetensors")
    assert pixel_difference(generate(recipe), expected) > 2  # the weights are those of the file


def test_a_single_file_autoencoder_replaces_that_of_the_base(sd: Path, tmp_path: Path) -> None:
    write_single_file(sd / "base", tmp_path / "checkpoint.safetensors")
    prefix = "first_stage_model."
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in load_file(tmp_path / "checkpoint.safetensors").items()
        if name.startswith(prefix)
    }
    save_file(state, tmp_path / "same.safetensors")
    other = {name: tensor * 1.2 if "decoder.conv_out" in name else tensor for name, tensor in state.items()}
    save_file(other, tmp_path / "other.safetensors")
    same, changed = (
        generate(tiny_recipe(sd, vae={"name": str(tmp_path), "file": file}))
        for file in ("same.safetensors", "other.safetensors")
    )
    expected = generate(tiny_recipe(sd))
    assert pixel_difference(same, expected) == 0
    assert pixel_difference(changed, expected) > 2


def test_a_model_that_is_not_an_autoencoder_is_rejected_as_vae(sd: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    (tmp_path / "diffusion_pytorch_model.safetensors").touch()
    with pytest.raises(ModelError, match="UNet2DConditionModel"):
        load(tiny_recipe(sd, vae={"name": str(tmp_path)}))


def test_truncated_weights_raise_an_error_of_one_line(sd: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((sd / "net-0" / "config.json").read_bytes())
    content = (sd / "net-0" / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(content[: len(content) // 2])
    recipe = tiny_recipe(sd)
    (control,) = recipe.controls
    truncated = control.model_copy(update={"net": control.net.model_copy(update={"name": str(tmp_path)})})
    with pytest.raises(ModelError) as caught:
        load(recipe.model_copy(update={"controls": (truncated,)}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("component", "weight"),
    [
        ("unet", "mid_block.attentions.0.proj_in.weight"),
        ("vae", "decoder.mid_block.resnets.0.conv1.weight"),
        ("text_encoder", "encoder.layers.1.mlp.fc1.weight"),
    ],
)
def test_a_base_with_a_missing_weight_is_rejected(sd: Path, tmp_path: Path, component: str, weight: str) -> None:
    base = shutil.copytree(sd / "base", tmp_path / "base")
    remove_weight(next((base / component).glob("*.safetensors")), weight)
    with pytest.raises(ModelError, match=f"{component}.*{weight.split('.', 1)[1]}"):
        load(tiny_recipe(sd, base={"name": str(base)}))


def test_the_autoencoder_of_the_base_is_not_loaded_if_the_recipe_replaces_it(sd: Path, tmp_path: Path) -> None:
    base = shutil.copytree(sd / "base", tmp_path / "base")
    remove_weight(base / "vae" / "diffusion_pytorch_model.safetensors", "decoder.conv_out.weight")
    recipe = tiny_recipe(sd, base={"name": str(base)}, vae={"name": str(sd / "base" / "vae")})
    assert pixel_difference(generate(recipe), generate(tiny_recipe(sd))) == 0


def test_a_component_of_an_unsupported_library_is_rejected(sd: Path, tmp_path: Path) -> None:
    base = shutil.copytree(sd / "base", tmp_path / "base")
    index = json.loads((base / "model_index.json").read_text()) | {"text_encoder": ["mine", "Encoder"]}
    (base / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="mine of text_encoder"):
        load(tiny_recipe(sd, base={"name": str(base)}))


def test_a_controlnet_with_a_missing_weight_is_rejected(sd: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sd / "net-0", tmp_path / "net-0")
    remove_weight(folder / "diffusion_pytorch_model.safetensors", "controlnet_mid_block.weight")
    with pytest.raises(ModelError, match="net-0.*controlnet_mid_block.weight"):
        load(tiny_recipe(tmp_path, base={"name": str(sd / "base")}))


def test_a_single_file_checkpoint_with_a_missing_weight_is_rejected(sd: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_single_file(sd / "base", path)
    recipe = tiny_recipe(sd, base={"name": str(tmp_path), "file": path.name, "config": {"name": str(sd / "base")}})
    remove_weight(path, "layers.1.mlp.fc1.weight")
    with pytest.raises(ModelError, match="checkpoint.safetensors, text_encoder"):
        load(recipe)
    remove_weight(path, "model.diffusion_model.out.2.weight")
    with pytest.raises(MissingWeightsError):
        load(recipe)


def test_the_scheduler_has_the_settings_of_the_recipe_and_the_base(sd: Path) -> None:
    scheduler = {"name": "DPMSolverMultistepScheduler", "settings": {"use_karras_sigmas": True}}
    models = load_models(tiny_recipe(sd, scheduler=scheduler), torch.float32, Optimizations())
    assert type(models.pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert models.pipe.scheduler.config.use_karras_sigmas is True
    assert models.pipe.scheduler.config.beta_end == 0.012
