"""photo2anime recipes lock: write commits and digests of all models into a recipe's file."""

from typing import Annotated

import typer

from jobs.options import Set


def lock(
    name: Annotated[str, typer.Argument(help="A recipe: a name or a YAML file.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The file to write; else NAME itself, or ./NAME.yaml.")
    ] = None,
    set_: Set = None,
) -> None:
    """Fetch all that a recipe names, and write its commits and digests into the recipe's file.

    Runs with that file refuse any other weights. A shipped recipe becomes a file of this folder.
    """
    from pipeline import storage
    from pipeline.errors import RecipeError
    from pipeline.models.lock import edit_recipe_text, lock_models
    from pipeline.recipes.load import shipped_recipes

    settings = set_ or ()
    target = output or (f"{name}.yaml" if name in shipped_recipes() else name)
    if target != name and storage.exists(target):
        message = f"{storage.redact(target)} is there already"
        raise RecipeError(
            message, f"Lock that file itself: photo2anime recipes lock {target}; or choose another --output."
        )
    pinned = lock_models(name, settings, anew=True)
    text = edit_recipe_text(name, settings, pinned.keys)
    storage.put(target, text.encode())
    for each in pinned.pins:
        at = f"@{each.located.revision[:12]}" if each.located.requirement.on_hub else ""
        name = storage.redact(each.located.requirement.name)
        typer.echo(f"{each.located.requirement.role:22} {name}{at}  sha256 {each.sha256[:12]}")
    for need in pinned.missing:
        typer.echo(f"{need.role:22} {storage.redact(need.name)}  not to be had, left open: its maps may be blank")
    typer.echo(f"Locked: {storage.redact(target)}")


def list_recipes(context: typer.Context) -> None:
    """List the recipes; show or lock one."""
    if context.invoked_subcommand:
        return
    from pipeline.recipes.load import load_recipe, shipped_recipes

    for known in shipped_recipes():
        typer.echo(f"{known:16} {load_recipe(known).description}")


def show(name: Annotated[str, typer.Argument(help="A recipe: a name or a YAML file.")], set_: Set = None) -> None:
    """Show a recipe with every setting resolved, ready to be saved as a file of your own."""
    from pipeline.recipes.load import load_recipe, to_yaml

    recipe = load_recipe(name, set_ or ())
    typer.echo(f"# digest {recipe.digest}")
    typer.echo(to_yaml(recipe.model_dump(mode="json")).rstrip())
