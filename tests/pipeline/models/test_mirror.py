"""Mirrors: the models of a recipe are copied to a folder or bucket, with a recipe that runs without the hub."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from diffusers import UNet2DConditionModel

from pipeline import storage
from pipeline.errors import ModelDigestError, ModelNotFoundError
from pipeline.models.checks import check_models, check_reference
from pipeline.models.lock import lock_models
from pipeline.models.mirror import mirror_models
from pipeline.recipes.load import load_recipe

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
SMALL = ("area=4096", "steps=4")


def mirror_sd15_anime(folder: str) -> tuple[str, list[str]]:
    """Mirror the models of sd15-anime. Returns the address of the new recipe, and the labels of the copied models."""
    labels: list[str] = []
    return mirror_models("sd15-anime", SMALL, lock_models("sd15-anime", SMALL), folder, labels.append), labels


def test_recipe_of_a_mirror_generates_the_same_image_without_the_hub(
    hub: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    request = GenerationRequest(photo, (photo,) * 3, "anime", "photo", 1)
    (before,) = ImageGenerator(load_recipe("sd15-anime", SMALL)).generate([request])
    address, labels = mirror_sd15_anime(f"{bucket}/models")
    assert labels[0] == f"Lykon--AnyLoRA@{'a' * 40}"
    assert len(labels) == 6
    shutil.rmtree(hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PHOTO2ANIME_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelNotFoundError, match="Lykon/AnyLoRA@main"):
        check_models(load_recipe("sd15-anime", SMALL))
    recipe = load_recipe(address)
    assert check_models(recipe) == frozenset()
    assert all(control.net.name.startswith(f"{bucket}/models/") for control in recipe.controls)
    generator = ImageGenerator(recipe)
    (after,) = generator.generate([request])
    assert (before.pixels == after.pixels).all()
    models = generator.made_by(request, after).models
    assert models[0].revision == "a" * 40  # the commit on the hub, although the files are read from a bucket


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_sharded_weights_are_mirrored_with_their_index(sd: Path, tmp_path: Path, variant: str | None) -> None:
    from pipeline.diffusion.generator import ImageGenerator
    from tests.tiny import tiny_recipe, tiny_requests

    base = shutil.copytree(sd / "base", tmp_path / "base")
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    shutil.rmtree(base / "unet")
    unet.save_pretrained(base / "unet", max_shard_size="200KB", variant=variant)
    assert len(list((base / "unet").glob("*.safetensors"))) > 1
    if variant:
        for path in (base / "vae" / "diffusion_pytorch_model", base / "text_encoder" / "model"):
            path.with_suffix(".safetensors").rename(path.with_suffix(f".{variant}.safetensors"))
    path = tmp_path / "sharded.yaml"
    path.write_text(
        yaml.safe_dump(tiny_recipe(sd, base={"name": str(base), "variant": variant}).model_dump(mode="json"))
    )
    address = mirror_models(str(path), (), lock_models(str(path)), str(tmp_path / "mirror"), lambda _label: None)
    shutil.rmtree(base)
    (image,) = ImageGenerator(load_recipe(address)).generate(tiny_requests(1))
    assert image.pixels is not None


@pytest.mark.usefixtures("hub")
def test_only_incomplete_copies_are_uploaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.models import mirror

    uploads: list[str] = []
    upload = mirror.upload

    def recording_upload(path: Path, uri: str) -> None:
        uploads.append(uri)
        upload(path, uri)

    monkeypatch.setattr(mirror, "upload", recording_upload)
    address, _ = mirror_sd15_anime(str(tmp_path / "models"))
    count, text = len(uploads), storage.read(address)
    files = storage.files(str(tmp_path / "models"))
    assert count == len(files) - 1  # all files except the recipe
    incomplete = next(name for name in files if name.endswith("unet/diffusion_pytorch_model.fp16.safetensors"))
    (tmp_path / "models" / incomplete).write_bytes(b"half")
    mirror_sd15_anime(str(tmp_path / "models"))
    assert uploads[count:] == [storage.join(str(tmp_path / "models"), incomplete)]
    assert storage.read(address) == text


def test_the_reference_image_is_copied_and_its_digest_is_checked(tmp_path: Path) -> None:
    from pipeline.models.lock import ADAPTER, LockedModel, LockedRecipe, edit_recipe_text
    from pipeline.models.requirements import ModelRequirement
    from pipeline.models.resolve import LocatedModel, reference_digest

    (tmp_path / "mine.png").write_bytes(b"an image")
    (tmp_path / "weights.bin").write_bytes(b"weights")
    settings = [f"ip_adapter={{name: {tmp_path}, reference: {tmp_path / 'mine.png'}}}"]
    requirement = ModelRequirement("ip-adapter", ADAPTER, str(tmp_path), "main", ("weights.bin",))
    model = LocatedModel(tmp_path, requirement, "folder", (tmp_path / "weights.bin",))
    recipe = load_recipe("demo", settings)
    locked = LockedRecipe(recipe, (LockedModel(model, (ADAPTER,), model.digest()),), (), reference_digest(recipe))
    (tmp_path / "locked.yaml").write_text(edit_recipe_text("demo", settings, locked.keys))
    mirror = load_recipe(mirror_models("demo", settings, locked, str(tmp_path / "mirror"), lambda _label: None))
    assert mirror.digest == load_recipe(str(tmp_path / "locked.yaml")).digest
    adapter = mirror.ip_adapter
    assert adapter is not None
    assert adapter.reference is not None
    assert Path(adapter.reference).parent == tmp_path / "mirror" / "references"
    assert Path(adapter.reference).read_bytes() == b"an image"
    assert Path(adapter.name).parent == tmp_path / "mirror"
    check_reference(mirror)
    Path(adapter.reference).write_bytes(b"another image")
    with pytest.raises(ModelDigestError, match=r"ip_adapter\.reference"):
        check_reference(mirror)


def test_shipped_models_are_locked_but_not_copied(tmp_path: Path) -> None:
    address = mirror_models("demo", (), lock_models("demo"), str(tmp_path), lambda _label: None)
    recipe = load_recipe(address)
    assert recipe.base.name == "builtin:demo"
    assert recipe.base.sha256 is not None
    assert storage.names(str(tmp_path)) == ["demo.yaml"]
