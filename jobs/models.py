"""photo2anime models pull: copy the models of a recipe for machines without internet access."""

from typing import Annotated

import typer

from jobs.options import Set


def pull(
    name: Annotated[str, typer.Argument(help="The name of a recipe, or a YAML file.")],
    to: Annotated[str, typer.Option(help="A bucket address, or a folder that all machines can read.")],
    set_: Set = None,
) -> None:
    """Copy the models of a recipe to a folder or bucket, with a locked recipe that uses the copies.

    Runs with that recipe need no internet: HF_HUB_OFFLINE=1 photo2anime convert … --recipe TO/NAME.yaml
    """
    from pipeline import storage
    from pipeline.models.lock import lock_models
    from pipeline.models.mirror import mirror_models

    settings = set_ or ()
    locked = lock_models(name, settings)
    recipe = mirror_models(name, settings, locked, to, lambda label: typer.echo(f"copying {label}"))
    for model in locked.missing:
        typer.echo(f"{storage.redact(model.name)}: missing, not copied; maps of {model.role} may be blank")
    typer.echo(f"Recipe: {storage.redact(recipe)}")
