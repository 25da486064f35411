"""photo2anime recipes: list, show and lock."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.app import app
from pipeline.errors import RecipeExistsError
from pipeline.recipes.load import load_recipe, shipped_recipes


def test_a_shipped_recipe_becomes_a_locked_file_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["recipes", "lock", "demo", "--set", "steps=7"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[-1] == "Locked: demo.yaml"
    assert lines[0].startswith("base                   builtin:demo  sha256 ")
    assert sum("not locked (the recipe allows blank maps)" in line for line in lines) == 2
    recipe = load_recipe("demo.yaml")
    assert recipe.steps == 7
    assert recipe.base.sha256 is not None
    # An existing file is only overwritten if it is the recipe to lock.
    again = CliRunner().invoke(app, ["recipes", "lock", "demo"])
    assert isinstance(again.exception, RecipeExistsError)
    again = CliRunner().invoke(app, ["recipes", "lock", "demo", "-o", "demo.yaml"])
    assert isinstance(again.exception, RecipeExistsError)
    before = Path("demo.yaml").read_text()
    assert CliRunner().invoke(app, ["recipes", "lock", "demo.yaml"]).exit_code == 0
    assert Path("demo.yaml").read_text() == before


def test_a_locked_recipe_can_be_written_to_a_bucket(bucket: str) -> None:
    done = CliRunner().invoke(app, ["recipes", "lock", "demo", "-o", f"{bucket}/recipes/mine.yaml"])
    assert done.exit_code == 0, done.output
    assert load_recipe(f"{bucket}/recipes/mine.yaml").base.sha256 is not None


def test_shipped_recipes_are_listed() -> None:
    listed = CliRunner().invoke(app, ["recipes"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == shipped_recipes()


def test_a_shown_recipe_can_be_saved_as_a_recipe_file(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["recipes", "show", "demo", "--set", "steps=12"]).stdout
    (tmp_path / "mine.yaml").write_text(shown)
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert recipe == load_recipe("demo", ["steps=12"])
    assert recipe.steps == 12
    assert shown.startswith(f"# digest {recipe.digest}\n")
