"""How prompts are written in recipes and manifests: `{column}` of the manifest, `{a|b|c}` one of several.

What stands in a column's place is text, and never a template itself. Weights, `(word)1.3` and `word++`, are Compel's.
"""

import functools
import re

_COLUMN = re.compile(r"\{([^{}|]*)\}")


@functools.lru_cache(maxsize=1024)  # a recipe's is asked for with every row
def template_columns(template: str) -> tuple[str, ...]:
    """Return the columns that a template names; raise ValueError for braces that do not match or hold no name."""
    pieces(template)
    columns: list[str] = _COLUMN.findall(template)
    for column in columns:
        if not column.isidentifier():
            message = f"{{{column}}} is no column's name and no choice such as {{red|blue}}"
            raise ValueError(message)
    return tuple(columns)


@functools.lru_cache(maxsize=1024)  # likewise
def pieces(template: str) -> tuple[str, ...]:
    """Return a template cut where its outermost braces begin and end: every second piece stands in braces.

    Raises ValueError where braces do not match.
    """
    cut, depth = [""], 0
    for character in template:
        if character == "{" and not depth:
            cut.append("")
        depth += {"{": 1, "}": -1}.get(character, 0)
        cut[-1] += character
        if character == "}" and not depth:
            cut.append("")
        if depth < 0:
            break
    if depth:
        message = f"the braces in {template!r} do not match: they hold a column's name, or a choice as {{red|blue}}"
        raise ValueError(message)
    return tuple(cut)


def with_columns(piece: str, columns: dict[str, str]) -> str:
    """Return a piece with the columns' texts in their places."""
    return _COLUMN.sub(lambda found: columns[found[1]], piece)


def is_choice(piece: str) -> bool:
    """Tell whether a piece in braces is a choice, or but a column."""
    return not _COLUMN.fullmatch(piece)
