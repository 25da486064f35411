"""photo2anime models pull: copy all that a recipe loads to where a cluster without internet finds it."""

from typing import Annotated

import typer

from jobs.options import Set


def pull(
    name: Annotated[str, typer.Argument(help="A recipe: a name or a YAML file.")],
    to: Annotated[str, typer.Option(help="A folder that all machines see, or a bucket's address.")],
    set_: Set = None,
) -> None:
    """Copy a recipe's models to one place, with a locked recipe that names them there.

    `HF_HUB_OFFLINE=1 photo2anime convert … --recipe TO/NAME.yaml` needs no hub then.
    """
    from pipeline import storage
    from pipeline.models.lock import lock_models
    from pipeline.models.mirror import mirror_models as copied

    settings = set_ or ()
    pinned = lock_models(name, settings)
    recipe = copied(name, settings, pinned, to, lambda label: typer.echo(f"copying {label}"))
    for need in pinned.missing:
        typer.echo(f"{storage.redact(need.name)} is not to be had and stays behind: maps of {need.role} may be blank")
    typer.echo(f"Recipe: {storage.redact(recipe)}")
