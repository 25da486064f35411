"""A hub's cache that holds tiny models of the real classes where the real ones would lie."""

from pathlib import Path

import torch
from diffusers import ControlNetModel, StableDiffusionPipeline

from pipeline.models import resolve
from pipeline.recipes.load import load_recipe


def write_anime(cache: Path) -> None:
    """Write what the recipe sd15-anime names, in half precision, from the demo model."""
    half = {"dtype": torch.float16}
    base = StableDiffusionPipeline.from_pretrained(resolve.SHIPPED / "base", **half)
    net = ControlNetModel.from_pretrained(resolve.SHIPPED / "controlnet-canny", **half)
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
    """Return the folder of a commit in the hub's cache, the revision pointing to it."""
    root = cache / f"models--{repository.replace('/', '--')}"
    folder = root / "snapshots" / commit
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / revision).write_text(commit)
    return folder
