"""The template syntax of prompts: `{column}` inserts a column of the manifest, `{a|b|c}` chooses one of several texts.

The text of a column is inserted literally: braces in it are not interpreted. This module does not interpret weights
such as `(word)1.3` and `word++`; they are part of the text.
"""

import functools
import re

_COLUMN = re.compile(r"\{([^{}|]*)\}")


@functools.lru_cache(maxsize=1024)  # because most rows share the prompts of the recipe
def template_columns(template: str) -> tuple[str, ...]:
    """Return the names of the columns in a template.

    Raises:
        ValueError: The braces do not match, or a column name is invalid.
    """
    split_template(template)
    columns: list[str] = _COLUMN.findall(template)
    for column in columns:
        if not column.isidentifier():
            raise ValueError(f"{{{column}}} is neither a column name nor a choice such as {{red|blue}}")
    return tuple(columns)


@functools.lru_cache(maxsize=1024)  # because most rows share the prompts of the recipe
def split_template(template: str) -> tuple[str, ...]:
    """Split a template at its outermost braces.

    Returns:
        The parts in their order. Those at odd indices are enclosed in braces, those at even indices are plain text.

    Raises:
        ValueError: The braces do not match.
    """
    parts, depth = [""], 0
    for character in template:
        if character == "{" and not depth:
            parts.append("")
        depth += {"{": 1, "}": -1}.get(character, 0)
        parts[-1] += character
        if character == "}" and not depth:
            parts.append("")
        if depth < 0:
            break
    if depth:
        raise ValueError(f"the braces in {template!r} do not match")
    return tuple(parts)


def fill_columns(part: str, columns: dict[str, str]) -> str:
    """Replace each `{column}` in a part of a template by the text of that column."""
    return _COLUMN.sub(lambda match: columns[match[1]], part)


def is_choice(part: str) -> bool:
    """Return whether a part in braces is a choice such as `{red|blue}`, and not a column."""
    return not _COLUMN.fullmatch(part)
