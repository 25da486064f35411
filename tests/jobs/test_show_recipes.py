"""photo2anime recipes: the list, and one in full."""

import yaml
from typer.testing import CliRunner

from jobs.app import app
from pipeline.recipes import shipped
from schemas.recipe import Recipe


def test_recipes_are_listed() -> None:
    listed = CliRunner().invoke(app, ["recipes"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == shipped()


def test_one_is_shown_in_full_and_may_be_saved_as_it_is() -> None:
    shown = CliRunner().invoke(app, ["recipes", "show", "demo", "--set", "steps=12"]).stdout
    recipe = Recipe.model_validate(yaml.safe_load(shown))
    assert recipe.steps == 12
    assert shown.startswith(f"# digest {recipe.digest}\n")
