"""Prompts: columns of the manifest are inserted, and the seed of the image determines the choices."""

from typing import Any

import pytest

from pipeline.errors import ManifestPromptError, RecipePromptError
from pipeline.recipes.prompts import PromptRenderer, render_prompt
from schemas.detectors import CannySettings
from schemas.prompt import template_columns
from tests.conftest import recipe_of

SEEDS = range(40)


def test_columns_are_inserted_and_other_text_is_unchanged() -> None:
    assert render_prompt("a {animal}, (bright)1.2 # {animal}", {"animal": "cat"}, 1) == "a cat, (bright)1.2 # cat"


def test_a_seed_determines_the_choices() -> None:
    template = "{red|green|blue} hair, {day|night}"
    chosen = [render_prompt(template, {}, seed) for seed in SEEDS]
    assert chosen == [render_prompt(template, {}, seed) for seed in SEEDS]
    assert set(chosen) == {f"{color} hair, {time}" for color in ("red", "green", "blue") for time in ("day", "night")}


def test_choices_support_nesting_weights_and_several_options() -> None:
    assert {render_prompt("{a|{b|c}}", {}, seed) for seed in SEEDS} == {"a", "b", "c"}
    assert {render_prompt("{0::a|1::b}", {}, seed) for seed in SEEDS} == {"b"}
    assert {len(render_prompt("{2$$a|b|c}", {}, seed).split(",")) for seed in SEEDS} == {2}


@pytest.mark.parametrize("text", ["{a|b}", "50 % # off", "$x __y__ ${z}", "", "{"])
def test_the_text_of_a_column_is_not_interpreted(text: str) -> None:
    assert render_prompt("{title}!", {"title": text}, 1) == f"{text}!"
    assert render_prompt("{{title}|{title}}!", {"title": text}, 1) == f"{text}!"


def test_text_outside_of_choices_is_not_interpreted() -> None:
    assert render_prompt("# $x __y__ {a|a}", {}, 1) == "# $x __y__ a"


@pytest.mark.parametrize(
    ("template", "data"), [("{a|b", r"'{a\|b'"), ("a}{b|c", r"'a}{b\|c'"), ("{a b}", "{a b}"), ("{}", "{}")]
)
def test_an_invalid_template_is_refused(template: str, data: str) -> None:
    with pytest.raises(ValueError, match=data):
        template_columns(template)


def test_choices_may_contain_columns() -> None:
    assert template_columns("{a|{title}} {place}") == ("title", "place")


def test_an_invalid_choice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'{a\|__}'"):
        render_prompt("{a|__}", {}, 1)


PHOTO: dict[str, Any] = {"photo_id": "p", "prompt": None, "negative_prompt": None, "title": "cat"}


def renderer(**recipe: str) -> PromptRenderer:
    return PromptRenderer(recipe_of(CannySettings(), **recipe), PHOTO)


def test_a_prompt_of_the_manifest_replaces_the_prompt_of_the_recipe_or_is_inserted() -> None:
    photo = PHOTO | {"prompt": "a {title} at {dawn|dusk}", "negative_prompt": "blur"}
    prompts = renderer(prompt="anime").of(photo, 3)
    assert prompts["prompt"] in ("a cat at dawn", "a cat at dusk")
    assert prompts["negative_prompt"] == "blur"
    assert renderer(prompt="anime").of(PHOTO, 3)["prompt"] == "anime"
    assert renderer(prompt="anime, {prompt}").of(photo, 3)["prompt"] == "anime, a {title} at {dawn|dusk}"


def test_an_invalid_prompt_of_the_recipe_is_refused() -> None:
    with pytest.raises(ManifestPromptError, match=r"recipe demo: prompt: 'place' .*photo_id, prompt"):
        renderer(prompt="anime in {place}")
    with pytest.raises(RecipePromptError, match=r"recipe demo: negative_prompt: '\{a\|__\}'"):
        renderer(prompt="anime", negative_prompt="{a|__}")


@pytest.mark.parametrize(
    ("invalid", "data"),
    [
        ({"prompt": "smile :-} and a cat"}, "'smile :-} and a cat'"),
        ({"prompt": "a {sad} face"}, "'sad'"),
        ({"negative_prompt": "{a|__}"}, "'{a|__}'"),
        ({"prompt": "{a|" * 60 + "x" + "}" * 60}, "'{a|{a|"),
    ],
)
def test_an_invalid_prompt_of_the_manifest_affects_only_its_photo(invalid: dict[str, str], data: str) -> None:
    prompts = renderer(prompt="anime").of(PHOTO | invalid, 1)
    error = prompts["prompt_error"] or ""
    assert error.startswith(f"{next(iter(invalid))}: ")
    assert data in error
    assert invalid.items() <= prompts.items()  # provenance records the invalid template
    assert renderer(prompt="anime").of(PHOTO, 1)["prompt_error"] is None
