"""photo2anime recipes: list the shipped recipes, or show one."""

from typing import Annotated

import typer


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show: a name or a YAML file.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting first.")
    ] = None,
) -> None:
    """List the recipes, or show one with every setting resolved, ready to be saved as a file of your own."""
    import yaml

    from pipeline.recipes import load_recipe, shipped

    if name is None:
        for known in shipped():
            typer.echo(f"{known:14} {load_recipe(known).description}")
        return
    recipe = load_recipe(name, set_ or ())
    typer.echo(f"# digest {recipe.digest}")
    typer.echo(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True).rstrip())
