"""photo2anime recipes: list, show and lock recipes."""

from typing import Annotated

import typer

from jobs.options import Set

Name = Annotated[str, typer.Argument(help="The name of a recipe, or a YAML file.")]


def list_recipes(context: typer.Context) -> None:
    """List, show or lock recipes."""
    if context.invoked_subcommand:
        return
    from pipeline.recipes.load import load_recipe, shipped_recipes

    for name in shipped_recipes():
        typer.echo(f"{name:16} {load_recipe(name).description}")


def show(name: Name, set_: Set = None) -> None:
    """Show a recipe with all of its settings, as YAML that can be saved as a recipe file."""
    from pipeline.recipes.load import load_recipe, to_yaml

    recipe = load_recipe(name, set_ or ())
    typer.echo(f"# digest {recipe.digest}")
    typer.echo(to_yaml(recipe.model_dump(mode="json")).rstrip())


def lock(
    name: Name,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="The file to write.", show_default="the recipe file, or ./NAME.yaml"),
    ] = None,
    set_: Set = None,
) -> None:
    """Write the commits and digests of the models of a recipe into a recipe file.

    Runs with that file fail if the weights differ. By default, a shipped recipe is written to ./NAME.yaml.
    """
    from pipeline import storage
    from pipeline.errors import RecipeExistsError
    from pipeline.models.lock import edit_recipe_text, lock_models
    from pipeline.recipes.load import shipped_recipes

    settings = set_ or ()
    target = output or (f"{name}.yaml" if name in shipped_recipes() else name)
    if target != name and storage.exists(target):
        raise RecipeExistsError(
            f"{storage.redact(target)}: already exists",
            f"Lock that file with photo2anime recipes lock {target}, or choose another --output.",
        )
    locked = lock_models(name, settings, ignore_lock=True)
    storage.put(target, edit_recipe_text(name, settings, locked.keys).encode())
    for pin in locked.pins:
        model = pin.located.requirement
        commit = f"@{pin.located.revision[:12]}" if model.on_hub else ""
        typer.echo(f"{model.role:22} {storage.redact(model.name)}{commit}  sha256 {pin.sha256[:12]}")
    for model in locked.missing:
        typer.echo(f"{model.role:22} {storage.redact(model.name)}  missing, not locked (the recipe allows blank maps)")
    typer.echo(f"Locked: {storage.redact(target)}")
