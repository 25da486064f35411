"""Prompts of one picture: columns are text, choices are the seed's."""

from typing import Any

import pytest

from pipeline.errors import ManifestError
from pipeline.recipes.prompts import PromptRenderer, render_prompt
from schemas.detectors import CannySettings
from schemas.prompt import template_columns
from tests.conftest import recipe_of

SEEDS = range(40)


def test_columns_are_filled_in_and_the_rest_stays() -> None:
    assert render_prompt("a {what}, (bright)1.2 # {what}", {"what": "cat"}, 1) == "a cat, (bright)1.2 # cat"


def test_the_same_seed_chooses_the_same_and_seeds_choose_all() -> None:
    template = "{red|green|blue} hair, {day|night}"
    chosen = [render_prompt(template, {}, seed) for seed in SEEDS]
    assert chosen == [render_prompt(template, {}, seed) for seed in SEEDS]
    assert set(chosen) == {f"{color} hair, {time}" for color in ("red", "green", "blue") for time in ("day", "night")}


def test_choices_nest_weigh_and_take_several() -> None:
    assert {render_prompt("{a|{b|c}}", {}, seed) for seed in SEEDS} == {"a", "b", "c"}
    assert {render_prompt("{0::a|1::b}", {}, seed) for seed in SEEDS} == {"b"}
    assert {len(render_prompt("{2$$a|b|c}", {}, seed).split(",")) for seed in SEEDS} == {2}


@pytest.mark.parametrize("text", ["{a|b}", "50 % # off", "$x __y__ ${z}", "", "{"])
def test_a_columns_text_is_never_a_template(text: str) -> None:
    assert render_prompt("{title}!", {"title": text}, 1) == f"{text}!"
    assert render_prompt("{{title}|{title}}!", {"title": text}, 1) == f"{text}!"


def test_what_stands_outside_of_choices_is_not_read() -> None:
    assert render_prompt("# ${x} __y__ {a|a}".replace("${x}", "$x"), {}, 1) == "# $x __y__ a"


@pytest.mark.parametrize(("template", "said"), [
    ("{a|b", "do not match"), ("a}{b|c", "do not match"), ("{a b}", "no column's name"), ("{}", "no column's name"),
])  # fmt: skip
def test_what_is_no_template_is_said(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        template_columns(template)


def test_columns_in_choices_are_columns() -> None:
    assert template_columns("{a|{title}} {place}") == ("title", "place")


def test_a_choice_that_cannot_be_read_is_said() -> None:
    with pytest.raises(ValueError, match="is no choice"):
        render_prompt("{a|__}", {}, 1)


PHOTO: dict[str, Any] = {"photo_id": "p", "prompt": None, "negative_prompt": None, "title": "cat"}


def prompts(**recipe: str) -> PromptRenderer:
    return PromptRenderer(recipe_of(CannySettings(), **recipe), PHOTO)


def test_a_photos_own_prompt_stands_for_the_recipes_or_within_it() -> None:
    own = PHOTO | {"prompt": "a {title} at {dawn|dusk}", "negative_prompt": "blur"}
    chosen = prompts(prompt="anime").of(own, 3)
    assert chosen["prompt"] in ("a cat at dawn", "a cat at dusk")
    assert chosen["negative_prompt"] == "blur"
    assert prompts(prompt="anime").of(PHOTO, 3)["prompt"] == "anime"
    assert prompts(prompt="anime, {prompt}").of(own, 3)["prompt"] == "anime, a {title} at {dawn|dusk}"


def test_what_a_recipe_names_and_nobody_has_is_said_before_work() -> None:
    with pytest.raises(
        ManifestError, match=r"recipe demo: prompt: 'place' is no column with values .* has photo_id, prompt"
    ):
        prompts(prompt="anime in {place}")
    with pytest.raises(ManifestError, match=r"recipe demo: negative_prompt: '\{a\|__\}' is no choice"):
        prompts(prompt="anime", negative_prompt="{a|__}")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"prompt": "smile :-} and a cat"}, "prompt: the braces in 'smile :-} and a cat' do not match"),
        ({"prompt": "a {sad} face"}, "prompt: 'sad' is no column with values in the manifest"),
        ({"negative_prompt": "{a|__}"}, "negative_prompt: '{a|__}' is no choice"),
        ({"prompt": "{a|" * 60 + "x" + "}" * 60}, "prompt: '{a|{a|"),
    ],
)
def test_what_a_photos_own_prompt_lacks_is_its_own_fault(own: dict[str, str], said: str) -> None:
    chosen = prompts(prompt="anime").of(PHOTO | own, 1)
    assert (chosen["prompt_error"] or "").startswith(said)
    assert own.items() <= chosen.items()  # as it stands there, for whoever mends it
    assert prompts(prompt="anime").of(PHOTO, 1)["prompt_error"] is None
