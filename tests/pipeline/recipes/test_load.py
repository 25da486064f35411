"""Loading recipes by name and file, and changing their settings. Every error is one line."""

from pathlib import Path

import pytest

from pipeline.errors import (
    InterruptedRunError,
    RecipeError,
    RecipeNotFoundError,
    RecipeSettingError,
    RecipeSyntaxError,
)
from pipeline.recipes import load as module
from pipeline.recipes.load import load_recipe, recipe_text, shipped_recipes, to_yaml


def test_the_shipped_recipes_are_valid() -> None:
    assert shipped_recipes() == ["demo", "demo-text2img", "sd15-anime", "sd15-anime-fast", "sdxl-anime"]
    for name in shipped_recipes():
        assert load_recipe(name).name == name
    anime = load_recipe("sd15-anime")
    assert (anime.steps, anime.dtype, anime.scheduler.name) == (24, "float16", "DPMSolverMultistepScheduler")
    assert [control.detector.name for control in anime.controls] == ["canny", "openpose", "depth"]


def test_a_recipe_is_loaded_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(recipe_text("demo").replace("steps: 12", "steps: 14"))
    assert load_recipe(str(tmp_path / "mine.yaml")).steps == 14


@pytest.mark.parametrize("text", ["1e3", "0o17", "no", "009", "a: b # c", "'", "{a|b}", "née (x:1.2)"])
def test_written_yaml_is_read_as_the_same_recipe(tmp_path: Path, text: str) -> None:
    demo = load_recipe("demo").model_copy(update={"prompt": text})
    (tmp_path / "demo.yaml").write_text(to_yaml(demo.model_dump(mode="json")))
    assert load_recipe(str(tmp_path / "demo.yaml")) == demo


def test_duplicate_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_text("demo") + "\nsteps: 20\n")
    with pytest.raises(RecipeSyntaxError, match=r"mine\.yaml: .*\"steps\"") as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)
    assert "suppress" not in str(caught.value)  # the advice of ruamel.yaml for programmers


def test_settings_change_their_keys() -> None:
    recipe = load_recipe("demo", ["steps=14", "controls.depth.scale=0.5", "controls.0.end=0.5", "prompt='a, b: c'"])
    assert (recipe.steps, recipe.controls[2].scale, recipe.controls[0].end) == (14, 0.5, 0.5)
    assert recipe.prompt == "a, b: c"
    assert load_recipe("demo", ["controls.canny.detector.low=50"]).controls[0].detector.low == 50
    assert load_recipe("demo", ["output.format=webp"]).output.format == "webp"


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        ("anime #1 best", "anime #1 best"),
        ("{red|blue} hair, (night:1.3): sky", "{red|blue} hair, (night:1.3): sky"),
        ("no", "no"),
        ("", ""),
        ("'a, b: c'", "a, b: c"),
        ('"quoted"', "quoted"),
    ],
)
def test_prompts_are_not_parsed_as_yaml(value: str, prompt: str) -> None:
    assert load_recipe("demo", [f"prompt={value}"]).prompt == prompt
    assert load_recipe("demo", [f"negative_prompt={value}"]).negative_prompt == prompt


def test_a_text_in_place_of_a_mapping_is_refused_with_its_keys() -> None:
    with pytest.raises(RecipeError, match=r"scheduler: .*scheduler\.name="):
        load_recipe("demo", ["scheduler=LCMScheduler"])


def test_on_and_off_are_not_booleans() -> None:
    recipe = load_recipe("demo", ["compile=on", "safety.policy=off"])
    assert (recipe.compile, recipe.safety.policy) == ("on", "off")
    with pytest.raises(RecipeError, match=r"safety\.policy: .*'off', 'flag' or 'drop'"):
        load_recipe("demo", ["safety.policy=on"])


@pytest.mark.parametrize(
    ("name", "settings", "error", "data"),
    [
        ("sd16", [], RecipeNotFoundError, "'sd16'.*demo, demo-text2img, sd15-anime"),
        ("/none.yaml", [], RecipeNotFoundError, "/none.yaml"),
        ("demo", ["steps"], RecipeSettingError, "--set steps"),
        ("demo", ["controls.seg.scale=1"], RecipeSettingError, "'seg'.*canny, openpose, depth"),
        ("demo", ["steps.x=1"], RecipeSettingError, "--set steps.x=1"),
        ("demo", ["steps.x.y=1"], RecipeSettingError, "'x'"),
        ("demo", ["steps=[a"], RecipeSettingError, r"'\[a'"),
        ("demo", ["stepps=3"], RecipeError, "recipe demo: stepps"),
        ("demo", ["steps=many"], RecipeError, "recipe demo: steps"),
        ("demo", ["steps=1"], RecipeError, "recipe demo: 1 steps"),
        ("demo", ["memory=low", "compile=on"], RecipeError, "recipe demo: memory: low"),
        ("demo", ["controls.canny.detector.hi=1"], RecipeError, "controls.0.detector.canny.hi"),
        ("demo", ["scheduler.name=Euler"], RecipeError, "scheduler.name: .*'DDIMScheduler'"),
    ],
)
def test_an_error_is_one_line(name: str, settings: list[str], error: type[RecipeError], data: str) -> None:
    with pytest.raises(error, match=data) as caught:
        load_recipe(name, settings)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


INVALID_VALUES = ["2001-99-99", "!!bool x", "!!int x", "!!float x", "1" * 5000]


@pytest.mark.parametrize("value", INVALID_VALUES)
def test_an_invalid_value_of_a_setting_is_refused(value: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", [f"seed={value}"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [", RecipeSyntaxError),
        ("[" * 3000, RecipeSyntaxError),
        ("a: &a [*a]", RecipeError),
        ("a0: &a0 [x, x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)), RecipeError),
        ("just text", RecipeError),
        *((f"seed: {value}", RecipeSyntaxError) for value in INVALID_VALUES),
        ("name: x", RecipeError),
    ],
)
def test_an_invalid_file_gives_an_error_of_one_line(tmp_path: Path, text: str, error: type[RecipeError]) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(error, match=r"r\.yaml") as caught:
        load_recipe(str(tmp_path / "r.yaml"))
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "suggestion"),
    [
        ("scheduler.name=EulerAncestralScheduler", "EulerAncestralDiscreteScheduler"),
        ("controls.canny.detector.name=cany", "canny"),
        ("controls.canny.scael=1", "scale"),
        ("mode=img2image", "img2img"),
        ("stepps=3", "steps"),
    ],
)
def test_a_similar_name_is_suggested(setting: str, suggestion: str) -> None:
    with pytest.raises(RecipeError, match=rf"did you mean {suggestion}\?"):
        load_recipe("demo", [setting])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("https://key:secret@host/recipe?sig=secret", []),
        ("demo", ["base.name https://key:secret@host/model"]),
        ("demo", ["base.nme.x=https://key:secret@host/model"]),
        ("demo", ["base.name.x=https://key:secret@host/model"]),
    ],
)
def test_an_error_contains_no_credentials(name: str, settings: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, settings)
    assert "secret" not in str(caught.value)


def test_a_signal_interrupts_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_parser: object, _text: str) -> None:
        raise InterruptedRunError("interrupted")

    monkeypatch.setattr(module.YAML, "load", interrupt)
    with pytest.raises(InterruptedRunError):
        load_recipe("demo")
