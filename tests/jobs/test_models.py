"""photo2anime models pull: a recipe over copies of its models."""

import shutil
from pathlib import Path

from typer.testing import CliRunner

from jobs.app import app
from pipeline.models.resolve import SHIPPED
from pipeline.recipes.load import load_recipe


def test_models_of_a_folder_are_copied_and_named_there(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "controlnet-canny", tmp_path / "mine" / "canny")
    net = f"controls.canny.net.name={tmp_path / 'mine' / 'canny'}"
    done = CliRunner().invoke(app, ["models", "pull", "demo", "--set", net, "--to", str(tmp_path / "there")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"Recipe: {tmp_path / 'there' / 'demo.yaml'}"
    assert "maps of openpose may be blank" in done.stdout
    shutil.rmtree(tmp_path / "mine")
    folder = Path(load_recipe(str(tmp_path / "there" / "demo.yaml")).controls[0].net.name)
    assert folder.parent == tmp_path / "there"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
