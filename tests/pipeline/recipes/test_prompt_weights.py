"""The weights of prompts are parsed in linear time."""

import pytest

from pipeline.errors import PromptWeightError
from pipeline.recipes.prompt_weights import MAX_NESTING, parse_prompt


@pytest.mark.timeout(300)  # without packrat parsing, this takes an hour
def test_nested_parentheses_are_parsed_in_linear_time() -> None:
    assert len(parse_prompt("(" * MAX_NESTING + "night" + ")" * MAX_NESTING, xl=False).prompts) == 1


def test_more_parentheses_are_an_error() -> None:
    with pytest.raises(PromptWeightError):
        parse_prompt("(" * (MAX_NESTING + 1) + "night" + ")" * (MAX_NESTING + 1), xl=False)
