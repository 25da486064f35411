"""photo2anime models pull: copies of models, and a recipe that uses them."""

import shutil
from pathlib import Path

from typer.testing import CliRunner

from jobs.app import app
from pipeline.models.resolve import SHIPPED
from pipeline.recipes.load import load_recipe


def test_models_of_a_folder_are_copied_and_the_recipe_uses_the_copies(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "controlnet-canny", tmp_path / "originals" / "canny")
    setting = f"controls.canny.net.name={tmp_path / 'originals' / 'canny'}"
    done = CliRunner().invoke(app, ["models", "pull", "demo", "--set", setting, "--to", str(tmp_path / "copies")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"Recipe: {tmp_path / 'copies' / 'demo.yaml'}"
    assert "maps of openpose may be blank" in done.stdout
    shutil.rmtree(tmp_path / "originals")
    folder = Path(load_recipe(str(tmp_path / "copies" / "demo.yaml")).controls[0].net.name)
    assert folder.parent == tmp_path / "copies"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
