"""A cache of the Hugging Face hub with tiny models in place of the real ones."""

from pathlib import Path

import torch
from diffusers import ControlNetModel, StableDiffusionPipeline

from pipeline.models import resolve
from pipeline.recipes.load import load_recipe


def write_anime(cache: Path) -> None:
    """Write the models of the recipe sd15-anime, with weights of the demo model in float16."""
    options = {"dtype": torch.float16}
    base = StableDiffusionPipeline.from_pretrained(resolve.SHIPPED / "base", **options)
    net = ControlNetModel.from_pretrained(resolve.SHIPPED / "controlnet-canny", **options)
    anime = load_recipe("sd15-anime")
    base.save_pretrained(snapshot(cache, anime.base.name, "main", "a" * 40), variant="fp16")
    for control in anime.controls:
        folder = snapshot(cache, control.net.name, control.net.revision, control.net.revision)
        net.save_pretrained(folder, variant="fp16")
    (snapshot(cache, "lllyasviel/Annotators", "main", "b" * 40) / "body_pose_model.pth").touch()
    depth = snapshot(cache, "depth-anything/Depth-Anything-V2-Small-hf", "main", "c" * 40)
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (depth / name).touch()


def snapshot(cache: Path, repository: str, revision: str, commit: str) -> Path:
    """Create a snapshot folder in the cache, with a revision that refers to its commit, and return the folder."""
    root = cache / f"models--{repository.replace('/', '--')}"
    folder = root / "snapshots" / commit
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / revision).write_text(commit)
    return folder
