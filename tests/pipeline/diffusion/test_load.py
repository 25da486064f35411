"""Loading: another autoencoder, one file of weights, and what is broken or does not fit is one line."""

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
from pipeline.errors import ModelError
from pipeline.models.checks import check_models
from tests.single_file import write_single_file
from tests.tiny import apart, asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_tiny_autoencoder_takes_the_bases_place_and_is_named(sd: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    channels = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    blocks = {"num_encoder_blocks": (1,) * 4, "num_decoder_blocks": (1,) * 4}
    AutoencoderTiny(**channels, **blocks, latent_channels=4).save_pretrained(tmp_path)
    subject = ImageGenerator(tiny_recipe(sd, vae={"name": str(tmp_path)}))
    (drawing,), (plain,) = subject.generate(asked(1)), ImageGenerator(tiny_recipe(sd)).generate(asked(1))
    assert apart(drawing, plain) > 5
    assert [model["role"] for model in subject.made_by(asked(1)[0], drawing)["models"]][:2] == ["base", "vae"]


def test_a_checkpoint_of_one_file_draws_as_its_folder_does(sd: Path, tmp_path: Path) -> None:
    write_single_file(sd / "base", tmp_path / "whole.safetensors")
    base = {"name": str(tmp_path), "file": "whole.safetensors", "config": {"name": str(sd / "base")}}
    recipe = tiny_recipe(sd, base=base)
    assert check_models(recipe) == frozenset()
    subject = ImageGenerator(recipe)
    (drawing,), (plain,) = subject.generate(asked(1)), ImageGenerator(tiny_recipe(sd)).generate(asked(1))
    assert apart(drawing, plain) == 0
    assert [model["role"] for model in subject.made_by(asked(1)[0], drawing)["models"]][:2] == ["base", "config"]
    state = load_file(tmp_path / "whole.safetensors")
    state["model.diffusion_model.out.2.weight"] *= 1.2
    save_file(state, tmp_path / "whole.safetensors")
    assert apart(ImageGenerator(recipe).generate(asked(1))[0], plain) > 2  # it is the file that is read


def test_an_autoencoder_of_one_file_takes_the_bases_place(sd: Path, tmp_path: Path) -> None:
    write_single_file(sd / "base", tmp_path / "whole.safetensors")
    prefix = "first_stage_model."
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in load_file(tmp_path / "whole.safetensors").items()
        if name.startswith(prefix)
    }
    save_file(state, tmp_path / "same.safetensors")
    other = {name: tensor * 1.2 if "decoder.conv_out" in name else tensor for name, tensor in state.items()}
    save_file(other, tmp_path / "other.safetensors")
    same, changed = (
        ImageGenerator(tiny_recipe(sd, vae={"name": str(tmp_path), "file": file})).generate(asked(1))[0]
        for file in ("same.safetensors", "other.safetensors")
    )
    (plain,) = ImageGenerator(tiny_recipe(sd)).generate(asked(1))
    assert apart(same, plain) == 0
    assert apart(changed, plain) > 2


def test_what_is_no_autoencoder_is_refused(sd: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    (tmp_path / "diffusion_pytorch_model.safetensors").touch()
    with pytest.raises(ModelError, match="is a UNet2DConditionModel, no autoencoder"):
        load_models(tiny_recipe(sd, vae={"name": str(tmp_path)}), torch.float32, Optimizations())


def test_broken_weights_are_one_line(sd: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((sd / "net-0" / "config.json").read_bytes())
    whole = (sd / "net-0" / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(whole[: len(whole) // 2])
    recipe = tiny_recipe(sd)
    broken = recipe.controls[0].model_copy(
        update={"net": recipe.controls[0].net.model_copy(update={"name": str(tmp_path)})}
    )
    with pytest.raises(ModelError, match="its models cannot be loaded") as caught:
        load_models(recipe.model_copy(update={"controls": (broken,)}), torch.float32, Optimizations())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "weight"),
    [
        ("unet", "mid_block.attentions.0.proj_in.weight"),
        ("vae", "decoder.mid_block.resnets.0.conv1.weight"),
        ("text_encoder", "encoder.layers.1.mlp.fc1.weight"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused(sd: Path, tmp_path: Path, part: str, weight: str) -> None:
    base = shutil.copytree(sd / "base", tmp_path / "base")
    take_out(next((base / part).glob("*.safetensors")), weight)
    with pytest.raises(ModelError, match=f"{part}: 1 of its weights are missing, .*{weight.split('.', 1)[1]}"):
        load_models(tiny_recipe(sd, base={"name": str(base)}), torch.float32, Optimizations())


def test_an_autoencoder_that_is_replaced_is_not_loaded(sd: Path, tmp_path: Path) -> None:
    base = shutil.copytree(sd / "base", tmp_path / "base")
    take_out(base / "vae" / "diffusion_pytorch_model.safetensors", "decoder.conv_out.weight")
    recipe = tiny_recipe(sd, base={"name": str(base)}, vae={"name": str(sd / "base" / "vae")})
    assert (
        apart(ImageGenerator(recipe).generate(asked(1))[0], ImageGenerator(tiny_recipe(sd)).generate(asked(1))[0]) == 0
    )


def test_a_part_of_another_library_is_refused_by_name(sd: Path, tmp_path: Path) -> None:
    base = shutil.copytree(sd / "base", tmp_path / "base")
    index = json.loads((base / "model_index.json").read_text()) | {"text_encoder": ["mine", "Encoder"]}
    (base / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="text_encoder is mine's, which is not loaded"):
        load_models(tiny_recipe(sd, base={"name": str(base)}), torch.float32, Optimizations())


def test_a_net_and_a_single_file_that_are_not_whole_are_refused(sd: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sd / "net-0", tmp_path / "net-0")
    take_out(folder / "diffusion_pytorch_model.safetensors", "controlnet_mid_block.weight")
    with pytest.raises(ModelError, match="net-0: 1 of its weights are missing, controlnet_mid_block.weight among them"):
        load_models(tiny_recipe(tmp_path, base={"name": str(sd / "base")}), torch.float32, Optimizations())
    write_single_file(sd / "base", tmp_path / "whole.safetensors")
    base = {"name": str(tmp_path), "file": "whole.safetensors", "config": {"name": str(sd / "base")}}
    for weight, said in (
        ("layers.1.mlp.fc1.weight", "whole.safetensors, text_encoder: 1 of its weights are missing"),
        ("model.diffusion_model.out.2.weight", "some of their weights are missing"),
    ):
        take_out(tmp_path / "whole.safetensors", weight)
        with pytest.raises(ModelError, match=said):
            load_models(tiny_recipe(sd, base=base), torch.float32, Optimizations())


def take_out(path: Path, weight: str) -> None:
    """Write a file of weights again, without one."""
    state = load_file(path)
    del state[next(name for name in state if name.endswith(weight))]
    save_file(state, path, metadata={"format": "pt"})


def test_the_scheduler_is_the_recipes_with_its_settings(sd: Path) -> None:
    scheduler = {"name": "DPMSolverMultistepScheduler", "settings": {"use_karras_sigmas": True}}
    loaded = load_models(tiny_recipe(sd, scheduler=scheduler), torch.float32, Optimizations())
    assert type(loaded.pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert loaded.pipe.scheduler.config.use_karras_sigmas is True
    assert loaded.pipe.scheduler.config.beta_end == 0.012
