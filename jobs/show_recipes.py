"""photo2anime recipes: list the shipped recipes; photo2anime recipes show: one of them or a file, in full."""

from typing import Annotated

import typer

from jobs.arguments import Set


def list_recipes(context: typer.Context) -> None:
    """List the recipes; show or lock one."""
    if context.invoked_subcommand:
        return
    from pipeline.recipes import load_recipe, shipped

    for known in shipped():
        typer.echo(f"{known:16} {load_recipe(known).description}")


def show(name: Annotated[str, typer.Argument(help="A recipe: a name or a YAML file.")], set_: Set = None) -> None:
    """Show a recipe with every setting resolved, ready to be saved as a file of your own."""
    from pipeline.recipes import as_yaml, load_recipe

    recipe = load_recipe(name, set_ or ())
    typer.echo(f"# digest {recipe.digest}")
    typer.echo(as_yaml(recipe.model_dump(mode="json")).rstrip())
