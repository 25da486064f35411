"""Recipes by name and file, changed setting by setting; every mistake is one line that helps."""

from pathlib import Path

import pytest

from pipeline.errors import RecipeError
from pipeline.recipes.load import load_recipe, recipe_text, shipped_recipes, to_yaml


def test_the_shipped_recipes_load() -> None:
    assert shipped_recipes() == ["demo", "demo-text2img", "sd15-anime", "sd15-anime-fast", "sdxl-anime"]
    anime = load_recipe("sd15-anime")
    assert (anime.steps, anime.dtype, anime.scheduler.name) == (24, "float16", "DPMSolverMultistepScheduler")
    assert [control.detector.name for control in anime.controls] == ["canny", "openpose", "depth"]


def test_a_file_is_a_recipe_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(recipe_text("demo").replace("steps: 10", "steps: 12"))
    assert load_recipe(str(tmp_path / "mine.yaml")).steps == 12


@pytest.mark.parametrize("text", ["1e3", "0o17", "no", "009", "a: b # c", "'", "{a|b}", "née (x:1.2)"])
def test_what_is_written_is_read_again(tmp_path: Path, text: str) -> None:
    demo = load_recipe("demo").model_copy(update={"prompt": text})
    (tmp_path / "demo.yaml").write_text(to_yaml(demo.model_dump(mode="json")))
    assert load_recipe(str(tmp_path / "demo.yaml")) == demo


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_text("demo") + "\nsteps: 20\n")
    with pytest.raises(RecipeError, match=r"mine.yaml is no YAML \(.*duplicate key \"steps\"") as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)
    assert "suppress" not in str(caught.value)


def test_settings_change_what_they_name() -> None:
    changed = load_recipe("demo", ["steps=12", "controls.depth.scale=0.5", "controls.0.end=0.5", "prompt='a, b: c'"])
    assert (changed.steps, changed.controls[2].scale, changed.controls[0].end, changed.prompt) == (
        12,
        0.5,
        0.5,
        "a, b: c",
    )
    assert load_recipe("demo", ["controls.canny.detector.low=50"]).controls[0].detector.low == 50
    assert load_recipe("demo", ["output.format=webp"]).output.format == "webp"


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        ("anime #1 best", "anime #1 best"),
        ("{red|blue} hair, (night:1.3): sky", "{red|blue} hair, (night:1.3): sky"),
        ("no", "no"),
        ("", ""),
        ("'a, b: c'", "a, b: c"),
        ('"quoted"', "quoted"),
    ],
)
def test_a_prompt_is_taken_as_it_stands(given: str, prompt: str) -> None:
    assert load_recipe("demo", [f"prompt={given}"]).prompt == prompt
    assert load_recipe("demo", [f"negative_prompt={given}"]).negative_prompt == prompt


def test_what_has_keys_of_its_own_is_said() -> None:
    with pytest.raises(RecipeError, match=r"scheduler: .*It has keys of its own: write scheduler\.name=…"):
        load_recipe("demo", ["scheduler=LCMScheduler"])
    with pytest.raises(RecipeError, match="recipe demo: memory: low goes not with compile: on"):
        load_recipe("demo", ["memory=low", "compile=on"])


def test_on_and_off_are_words() -> None:
    recipe = load_recipe("demo", ["compile=on", "safety.policy=off"])
    assert (recipe.compile, recipe.safety.policy) == ("on", "off")
    with pytest.raises(RecipeError, match=r"safety\.policy: Input should be 'off', 'flag' or 'drop'"):
        load_recipe("demo", ["safety.policy=on"])


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("sd16", [], "there is no recipe 'sd16'.*demo, demo-text2img, sd15-anime"),
        ("/none.yaml", [], "/none.yaml: no such file"),
        ("demo", ["steps"], "no = in it"),
        ("demo", ["stepps=3"], "recipe demo: stepps: is no key of a recipe"),
        ("demo", ["steps=many"], "steps: Input should be a valid integer"),
        ("demo", ["controls.seg.scale=1"], "no control 'seg'. There are canny, openpose, depth"),
        ("demo", ["steps.x=1"], "steps holds no settings"),
        ("demo", ["steps.x.y=1"], "'x' is not in the recipe"),
        ("demo", ["controls.canny.detector.hi=1"], "controls.0.detector.canny.hi: is no key"),
        ("demo", ["steps=1"], "no step at all"),
        ("demo", ["steps=[a"], "is no YAML value"),
        ("demo", ["scheduler.name=Euler"], "scheduler.name: Input should be 'DDIMScheduler'"),
    ],
)
def test_mistakes_are_one_line(name: str, settings: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe(name, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "is no YAML"), ("just text", "holds no settings"), ("name: x", "Field required")]
)
def test_broken_files_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe(str(tmp_path / "r.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("scheduler.name=EulerAncestralScheduler", "EulerAncestralDiscreteScheduler"),
        ("controls.canny.detector.name=cany", "canny"),
        ("controls.canny.scael=1", "scale"),
        ("mode=img2image", "img2img"),
    ],
)
def test_what_was_meant_is_said(setting: str, meant: str) -> None:
    with pytest.raises(RecipeError, match=rf"Is {meant} meant\?"):
        load_recipe("demo", [setting])
