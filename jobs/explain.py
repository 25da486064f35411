"""photo2anime explain: the meaning of an error code."""

from difflib import get_close_matches
from typing import Annotated

import typer

from pipeline import errors
from pipeline.errors import OptionError, Photo2AnimeError, RunError


def explain(
    code: Annotated[
        str | None, typer.Argument(help="An error code, such as manifest.missing_column, or a kind, such as manifest.")
    ] = None,
) -> None:
    """Explain an error code, or list all codes."""
    classes = error_classes()
    selected = [known for known in classes if code is None or known == code or known.startswith(f"{code}.")]
    if not selected:
        (nearest,) = get_close_matches(str(code), classes, n=1, cutoff=0)
        raise OptionError(
            f"{code}: unknown error code", f"Did you mean {nearest}? List all codes with photo2anime explain."
        )
    if len(selected) == 1:
        typer.echo(_details(classes[selected[0]]))
    else:
        _print_table({known: classes[known] for known in selected})


def error_classes() -> dict[str, type[Photo2AnimeError]]:
    """Return the classes of `pipeline.errors` by their code, sorted by code."""
    exported = [getattr(errors, name) for name in errors.__all__]
    with_code = [error for error in exported if hasattr(error, "code")]
    return {error.code: error for error in sorted(with_code, key=lambda error: error.code)}


def _details(error: type[Photo2AnimeError]) -> str:
    exit_code = error.exit_code if issubclass(error, RunError) else "none; the photo becomes a failed row"
    lines = [error.code, f"  Meaning: {_meaning(error)}"]
    lines += [f"  Hint: {error.hint}"] if error.hint else []
    return "\n".join([*lines, f"  Class: {error.__name__}", f"  Exit code: {exit_code}"])


def _meaning(error: type[Photo2AnimeError]) -> str:
    """Return the first line of a class's docstring."""
    return (error.__doc__ or "").partition("\n")[0]


def _print_table(classes: dict[str, type[Photo2AnimeError]]) -> None:
    # Imported here so that the help of the command line starts fast.
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("code", no_wrap=True), "meaning")
    for code, error in classes.items():
        table.add_row(code, _meaning(error))
    Console().print(table)
