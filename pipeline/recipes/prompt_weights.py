"""Parse the weights of prompts with Compel: (word)1.3, (word:1.3) and word++."""

import re

import pyparsing
from compel.prompt_parser import Blend, Conjunction, PromptParser

from pipeline.errors import PromptWeightError

MAX_NESTING = 16  # of parentheses, which Compel parses recursively
# Without packrat parsing, pyparsing parses nested parentheses in exponential time: 60 s for 8 levels.
pyparsing.ParserElement.enable_packrat()
_PARSER = PromptParser()  # shared, because building the grammar takes as long as parsing a prompt
_COLON_WEIGHT = re.compile(r":\s*([0-9]*\.?[0-9]+)\s*$")
# The exceptions for invalid syntax.
SYNTAX_ERRORS = (
    pyparsing.ParseBaseException, PromptParser.ParsingException, ValueError, LookupError, RecursionError,
)  # fmt: skip


def parse_prompt(text: str, *, xl: bool) -> Conjunction:
    """Parse the weights and functions of a prompt.

    Args:
        text: The prompt.
        xl: Whether the prompt is for Stable Diffusion XL.

    Raises:
        PromptWeightError: The syntax is invalid, or a function is not supported.
    """
    try:
        parsed = _PARSER.parse_conjunction(to_compel_syntax(text))
    except SYNTAX_ERRORS as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise PromptWeightError(f"prompt {text!r}: {reason}") from error
    if any(getattr(part, "wants_cross_attention_control", False) for part in parsed.prompts):
        raise PromptWeightError(f"prompt {text!r}: .swap() is not supported")
    if parsed.lora_weights:
        raise PromptWeightError(f"prompt {text!r}: withLora() is not supported, name LoRAs in the recipe")
    # The pooled embedding of XL is that of a single prompt, and cannot be blended.
    if xl and any(isinstance(part, Blend) for part in parsed.prompts):
        raise PromptWeightError(f"prompt {text!r}: .blend() is not supported by Stable Diffusion XL")
    return parsed


def to_compel_syntax(text: str) -> str:
    r"""Rewrite `(word:1.3)`, the syntax of web interfaces, as `(word)1.3`, the syntax of Compel.

    Compel would parse the number as words. Parentheses may be nested; `\(` and `\)` are literal characters.

    Raises:
        ValueError: The parentheses are nested more than `MAX_NESTING` deep.
    """
    output: list[str] = []  # one character each
    starts: list[int] = []  # the index in `output` of each open parenthesis
    # For the top level, then for each open parenthesis: how deep the pairs that were closed inside of it are nested.
    depths: list[int] = [0]
    for index, character in enumerate(text):
        is_escaped = text[:index].endswith("\\")
        if character == "(" and not is_escaped:
            starts.append(len(output))
            depths.append(0)
        if character == ")" and not is_escaped and starts:
            depth = depths.pop() + 1
            depths[-1] = max(depths[-1], depth)
            if depth > MAX_NESTING:
                raise ValueError(f"parentheses are nested more than {MAX_NESTING} deep")
            inner = "".join(output[starts.pop() :])
            weight = _COLON_WEIGHT.search(inner)
            if weight:
                del output[len(output) - len(inner) + weight.start() :]
                # A space separates the weight from a following digit or point, which would otherwise become part of it.
                space = " " if text[index + 1 : index + 2] in (*"0123456789", ".") else ""
                output.extend(f"){float(weight[1]):g}{space}")
                continue
        output.append(character)
    return "".join(output)
