"""Pulling: all that a recipe loads in one place, and a run from there that asks no hub."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from diffusers import UNet2DConditionModel

from pipeline import storage
from pipeline.errors import ModelError
from pipeline.models.checks import check_models, check_reference
from pipeline.models.lock import lock_models
from pipeline.models.mirror import mirror_models
from pipeline.recipes.load import load_recipe

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = ("area=4096", "steps=4")


def pulled(to: str) -> tuple[str, list[str]]:
    """Pull sd15-anime; return the recipe's address, and what was said."""
    said: list[str] = []
    return mirror_models("sd15-anime", SMALL, lock_models("sd15-anime", SMALL), to, said.append), said


def test_a_run_from_there_asks_no_hub_and_draws_the_same(
    hub: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.diffusion.generator import ImageGenerator
    from pipeline.diffusion.request import GenerationRequest

    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    request = GenerationRequest(photo, (photo,) * 3, "anime", "photo", 1)
    (before,) = ImageGenerator(load_recipe("sd15-anime", SMALL)).generate([request])
    address, said = pulled(f"{bucket}/models")
    assert said[0] == f"Lykon--AnyLoRA@{'a' * 40}"
    assert len(said) == 6
    # Neither a hub nor its cache.
    shutil.rmtree(hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PHOTO2ANIME_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match="neither in the hub's cache"):
        check_models(load_recipe("sd15-anime", SMALL))
    recipe = load_recipe(address)
    assert check_models(recipe) == frozenset()
    assert all(control.net.name.startswith(f"{bucket}/models/") for control in recipe.controls)
    subject = ImageGenerator(recipe)
    (after,) = subject.generate([request])
    assert (before.pixels == after.pixels).all()
    made = subject.made_by(request, after)["models"]
    assert made[0]["revision"] == "a" * 40  # of the hub, though it came from a bucket


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_several_files_are_pulled_with_their_index(sd: Path, tmp_path: Path, variant: str | None) -> None:
    from pipeline.diffusion.generator import ImageGenerator
    from tests.tiny import asked, tiny_recipe

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
    address = mirror_models(str(path), (), lock_models(str(path)), str(tmp_path / "pulled"), lambda _label: None)
    shutil.rmtree(base)
    (drawing,) = ImageGenerator(load_recipe(address)).generate(asked(1))
    assert drawing.pixels is not None


@pytest.mark.usefixtures("hub")
def test_what_is_there_is_not_copied_again_and_what_is_half_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.models import mirror as module

    copied: list[str] = []
    upload = module.upload

    def noted(path: Path, uri: str) -> None:
        copied.append(uri)
        upload(path, uri)

    monkeypatch.setattr(module, "upload", noted)
    address, _ = pulled(str(tmp_path / "models"))
    whole, text = len(copied), storage.read(address)
    files = storage.files(str(tmp_path / "models"))
    assert whole == len(files) - 1
    lost = next(name for name in files if name.endswith("unet/diffusion_pytorch_model.fp16.safetensors"))
    (tmp_path / "models" / lost).write_bytes(b"half")
    pulled(str(tmp_path / "models"))
    assert copied[whole:] == [storage.join(str(tmp_path / "models"), lost)]
    assert storage.read(address) == text


def test_a_reference_picture_comes_along(tmp_path: Path) -> None:
    from pipeline.models.lock import ADAPTER, LockedModel, LockedRecipe, edit_recipe_text
    from pipeline.models.requirements import ModelRequirement
    from pipeline.models.resolve import LocatedModel, reference_digest

    (tmp_path / "mine.png").write_bytes(b"a picture")
    (tmp_path / "weights.bin").write_bytes(b"weights")
    settings = [f"ip_adapter={{name: {tmp_path}, reference: {tmp_path / 'mine.png'}}}"]
    need = ModelRequirement("ip-adapter", ADAPTER, str(tmp_path), "main", ("weights.bin",))
    found = LocatedModel(tmp_path, need, "folder", (tmp_path / "weights.bin",))
    recipe = load_recipe("demo", settings)
    pinned = LockedRecipe(recipe, (LockedModel(found, (ADAPTER,), found.digest()),), (), reference_digest(recipe))
    (tmp_path / "locked.yaml").write_text(edit_recipe_text("demo", settings, pinned.keys))
    pulled = load_recipe(mirror_models("demo", settings, pinned, str(tmp_path / "there"), lambda _label: None))
    assert pulled.digest == load_recipe(str(tmp_path / "locked.yaml")).digest  # wherever the picture lies
    adapter = pulled.ip_adapter
    assert adapter is not None
    assert adapter.reference is not None
    assert Path(adapter.reference).parent == tmp_path / "there" / "references"
    assert Path(adapter.reference).read_bytes() == b"a picture"
    assert Path(adapter.name).parent == tmp_path / "there"
    check_reference(pulled)
    Path(adapter.reference).write_bytes(b"another picture")
    with pytest.raises(ModelError, match=r"reference.*the recipe is locked to"):
        check_reference(pulled)


def test_what_ships_stays_where_it_is_and_is_locked(tmp_path: Path) -> None:
    address = mirror_models("demo", (), lock_models("demo"), str(tmp_path), lambda _label: None)
    recipe = load_recipe(address)
    assert recipe.base.name == "builtin:demo"
    assert recipe.base.sha256 is not None
    assert storage.names(str(tmp_path)) == ["demo.yaml"]
