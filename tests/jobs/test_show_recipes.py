"""photo2anime recipes: the list, and one in full."""

from pathlib import Path

from typer.testing import CliRunner

from jobs.app import app
from pipeline.recipes import load_recipe, shipped


def test_recipes_are_listed() -> None:
    listed = CliRunner().invoke(app, ["recipes"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == shipped()


def test_one_is_shown_in_full_and_may_be_saved_as_it_is(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["recipes", "show", "demo", "--set", "steps=12"]).stdout
    (tmp_path / "mine.yaml").write_text(shown)
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert recipe == load_recipe("demo", ["steps=12"])
    assert recipe.steps == 12
    assert shown.startswith(f"# digest {recipe.digest}\n")
