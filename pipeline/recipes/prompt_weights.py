"""Parse weighted prompts: (word)1.3, (word:1.3) and word++."""

import re

import pyparsing
from compel.prompt_parser import Blend, Conjunction, PromptParser

from pipeline.errors import PromptError

MAX_NESTING = 16  # parentheses in each other: Compel reads them by recursion


_PARSER = PromptParser()  # Compel itself would make its grammar anew for every prompt, which takes as long as to use it


_COLON_WEIGHT = re.compile(r":\s*([0-9]*\.?[0-9]+)\s*$")


# What Compel raises over its own syntax, and, as a RuntimeError, where it does not find a weighted word again.
_UNREADABLE = (
    pyparsing.ParseBaseException, PromptParser.ParsingException, ValueError, LookupError, RecursionError,
)  # fmt: skip


def parse_prompt(text: str, *, xl: bool) -> Conjunction:
    """Return what Compel makes of a prompt's weights and functions. Raises `PromptError` for what cannot be read."""
    try:
        parsed = _PARSER.parse_conjunction(to_compel_syntax(text))
    except _UNREADABLE as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else error
        message = f"prompt {text!r}: {said}"
        raise PromptError(message) from error
    refused = None
    if any(getattr(part, "wants_cross_attention_control", False) for part in parsed.prompts):
        refused = ".swap() is not to be had with several nets"
    elif parsed.lora_weights:
        refused = "withLora() is not to be had, LoRAs are the recipe's"
    elif xl and any(isinstance(part, Blend) for part in parsed.prompts):
        refused = ".blend() is not to be had with XL, whose pooled prompt is one"
    if refused:
        message = f"prompt {text!r}: {refused}"
        raise PromptError(message)
    return parsed


def to_compel_syntax(text: str) -> str:
    r"""Return a prompt with `(word:1.3)`, as the web interfaces of Stable Diffusion write it, as Compel's `(word)1.3`.

    Compel would read the number as words. Parentheses may lie in each other, and `\(` is none. Raises ValueError where
    they lie deeper than any prompt needs.
    """
    written: list[str] = []
    opened: list[int] = []
    inside: list[int] = [0]  # of each that is open, and of the text, how deep those in it lie in each other
    for place, letter in enumerate(text):
        escaped = text[:place].endswith("\\")
        if letter == "(" and not escaped:
            opened.append(len(written))
            inside.append(0)
        if letter == ")" and not escaped and opened:
            deep = inside.pop() + 1
            inside[-1] = max(inside[-1], deep)
            if deep > MAX_NESTING:
                message = f"parentheses lie more than {MAX_NESTING} deep in each other"
                raise ValueError(message)
            inner = "".join(written[opened.pop() :])
            weight = _COLON_WEIGHT.search(inner)
            if weight:
                del written[len(written) - len(inner) + weight.start() :]
                behind = " " if text[place + 1 : place + 2] in (*"0123456789", ".") else ""  # else one number of both
                written.extend(f"){float(weight[1]):g}{behind}")
                continue
        written.append(letter)
    return "".join(written)
