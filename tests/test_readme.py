"""Every command of the README runs, on a tiny model in place of the real one."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.app import app
from pipeline.recipes.load import load_recipe, recipe_text
from tests.conftest import ROOT, TINY

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `photos/` and a recipe file that stands in for sd15-anime, which needs weights."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "photos").mkdir()
    for name, called in (("p000.jpg", "me.jpg"), ("p001.jpg", "you.jpg")):
        shutil.copy2(photos / name, folder / "photos" / called)
    text = recipe_text("demo")
    for setting in TINY:
        key, _, value = setting.partition("=")
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
    (folder / "tiny.yaml").write_text(text)
    assert load_recipe(str(folder / "tiny.yaml")) == load_recipe("demo", TINY)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("ray_session")
def test_the_commands_in_their_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    ran = []
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        if program == "make":
            continue
        if arguments[:2] != ["recipes", "show"]:
            arguments = ["tiny.yaml" if word == "sd15-anime" else word for word in arguments]
        if arguments[0] == "bench":  # a GPU's sizes would take a core minutes
            arguments += ["--batch-sizes", "1", "--rounds", "1"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, (line, done.output)
        ran.append(arguments[0])
    shown = ["recipes", "recipes", "recipes", "models", "bench"]
    assert ran == ["manifest", "preview", "convert", "verify", "maps", *shown]
    for locked in ("mine.yaml", "models/demo.yaml"):
        assert load_recipe(str(place / locked)).base.sha256
    assert (place / "sheet.png").is_file()
    assert len(list((place / "anime").glob("images/*/*.png"))) == 4
    assert len(list((place / "maps").glob("maps/*/*.png"))) == 6
    assert len(list((place / "kept-maps").rglob("*.png"))) == 2
    # The same from Python: the output is finished, so it says so.
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(code.replace('"sd15-anime"', '"tiny.yaml"'), names := {})  # noqa: S102 - the README's own lines
    assert (names["summary"].converted, names["summary"].earlier) == (0, 4)


def test_the_make_targets_do_what_is_said() -> None:
    assert [line for line in COMMANDS if line.startswith("make")] == ["make demo", "make test"]
    for target, said in (
        ("demo", "photo2anime demo"),
        ("test", "python -m pytest"),
        ("quick", "not slow"),
        ("check", "mypy"),
    ):
        dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert said in dry
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_picture_and_the_tree_are_there() -> None:
    for name in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / name).is_file()
    for name in re.findall(r"^(\w+)/ ", README, re.MULTILINE):
        assert (ROOT / name).is_dir()
