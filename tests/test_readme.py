"""The README is true: its commands run (with a tiny model), and its tables and names are those of the source."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup, TyperOption
from typer.main import get_command
from typer.testing import CliRunner

from jobs.app import app
from pipeline.recipes.load import load_recipe, recipe_text
from schemas.detectors import DETECTORS
from schemas.manifest import KNOWN, MAP_URIS
from schemas.recipe import Recipe
from tests.conftest import ROOT, TINY
from tests.test_imports import RANK_OF

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
LONGEST_README = 149  # lines
MAKE_TARGETS = {"demo": "photo2anime demo", "test": "python -m pytest", "quick": "not slow"}
NO_DEFAULT = {"all", "auto", "none", "this machine"}  # what the table of options calls a default of None


def table(first_header: str) -> list[list[str]]:
    """Return the rows of the table whose header starts with a text, without the header, split into cells."""
    body = re.search(rf"^\| {re.escape(first_header)}.*\n\| ---.*\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert body, first_header
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in body[1].splitlines()]


def names_in(cell: str) -> list[str]:
    """Return the names in code format in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def first_names(first_header: str) -> list[str]:
    """Return the names in code format in the first column of a table."""
    return [name for row in table(first_header) for name in names_in(row[0])]


def default_of(option: TyperOption) -> set[str]:
    """Return the ways in which the table of options may state a default."""
    if option.required:
        return {"required"}
    defaults: dict[Any, set[str]] = {None: NO_DEFAULT, False: {"off"}}
    shown = {option.show_default} if isinstance(option.show_default, str) else set[str]()
    return defaults.get(option.default, {str(option.default)}) | shown


def registered_commands(group: TyperGroup, prefix: str = "") -> set[str]:
    """Return the names of all commands below a group, and of groups that can be called without a subcommand."""
    names = set()
    for name, command in group.commands.items():
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            names.add(f"{prefix}{name}")
        if isinstance(command, TyperGroup):
            names |= registered_commands(command, f"{prefix}{name} ")
    return names


@pytest.fixture(scope="module")
def folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `photos/`, and with a tiny recipe in place of sd15-anime, whose weights are not here."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "photos").mkdir()
    for source, name in (("p000.jpg", "me.jpg"), ("p001.jpg", "you.jpg")):
        shutil.copy2(photos / source, folder / "photos" / name)
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
def test_commands_run_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    ran = []
    for line in COMMANDS:
        program, *arguments = shlex.split(line, comments=True)
        if program == "make":
            continue
        assert program == "photo2anime"
        if arguments[:2] != ["recipes", "show"]:
            arguments = ["tiny.yaml" if word == "sd15-anime" else word for word in arguments]
        if arguments[0] == "bench":  # the batch sizes of a GPU would take minutes on a CPU
            arguments += ["--batch-sizes", "1", "--rounds", "1"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (line, result.output)
        ran.append(arguments[0])
    assert ran == ["manifest", "preview", "convert", "verify", "query", "maps", "recipes", "recipes", "models", "bench"]
    for locked in ("mine.yaml", "models/demo.yaml"):
        assert load_recipe(str(folder / locked)).base.sha256
    assert (folder / "sheet.png").is_file()
    assert len(list((folder / "anime").glob("images/*/*.png"))) == 4
    assert len(list((folder / "maps").glob("maps/*/*.png"))) == 6
    assert len(list((folder / "map-cache").rglob("*.png"))) == 2
    # The Python block converts the same manifest to the same output, which is finished.
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(code.replace('"sd15-anime"', '"tiny.yaml"'), names := {})  # noqa: S102 - the code is that of the README
    assert (names["summary"].converted, names["summary"].earlier) == (0, 4)
    for path in output_paths():
        assert list((folder / "anime").glob(path)), path


def output_paths() -> list[str]:
    """Return glob patterns of the files that the README lists for an output."""
    (block,) = [block for _, block in BLOCKS if block.startswith("images/<unit>")]
    listed = [name for line in block.splitlines() for name in re.split(r"  +", line)[0].split(", ")]
    return [re.sub(r"<\w+>", "*", name) for name in listed]


@pytest.mark.parametrize(("target", "expected"), [*MAKE_TARGETS.items(), ("check", "mypy")])
def test_make_targets_run_what_their_names_promise(target: str, expected: str) -> None:
    dry_run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert expected in dry_run


def test_make_commands_are_complete() -> None:
    commands = [shlex.split(line, comments=True) for line in COMMANDS if line.startswith("make")]
    assert commands == [["make", target] for target in MAKE_TARGETS]
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_links_exist() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_files_of_the_tree_and_the_tables_exist() -> None:
    (tree,) = [block for _, block in BLOCKS if " rank 0 " in block]
    in_tree = re.findall(r"^([\w/.]+) +rank", tree, re.MULTILINE)
    steps = [name for row in table("step") for name in names_in(row[2])]
    located = [name for row in table("what | where") for cell in row for name in names_in(cell)]
    assert (len(steps), len(located)) == (8, 10)
    assert [name for name in [*in_tree, *steps, *located] if not (ROOT / name).exists()] == []


def test_tree_has_every_package_with_its_rank() -> None:
    (tree,) = [block for _, block in BLOCKS if " rank 0 " in block]
    ranks = re.findall(r"^([\w/.]+) +rank (\d)", tree, re.MULTILINE)
    in_tree = {path.removesuffix(".py").strip("/").replace("/", "."): int(rank) for path, rank in ranks}
    packages = {name for name in RANK_OF if (ROOT / name.replace(".", "/")).is_dir()}
    assert in_tree == {name: RANK_OF[name] for name in packages | {"pipeline.flow", "pipeline.run"}}
    assert all(lower <= upper for lower, upper in pairwise(in_tree.values()))


def test_command_table_has_every_command() -> None:
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    listed = first_names("command")
    assert len(listed) == len(set(listed))
    assert set(listed) == registered_commands(root)


def test_option_table_has_every_option_of_convert_with_its_default() -> None:
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    # The root and convert have the same log options. Those of the root have the defaults, so they replace the others.
    parameters = [*root.commands["convert"].params, *root.params]
    options = {option.opts[0]: option for option in parameters if isinstance(option, TyperOption)}
    listed: dict[str, str] = {}
    for names, defaults, _ in table("option of `convert`"):
        options_of_row, defaults_of_row = names_in(names), defaults.split(", ")
        if len(defaults_of_row) == 1:  # of all options in the row
            defaults_of_row *= len(options_of_row)
        listed |= dict(zip(options_of_row, defaults_of_row, strict=True))
    assert listed.keys() == options.keys()
    assert [name for name, option in options.items() if listed[name] not in default_of(option)] == []


def test_recipe_table_has_every_setting_and_detector() -> None:
    assert set(first_names("setting of a recipe")) == Recipe.model_fields.keys() - {"name", "description"}
    detectors = next(row[1] for row in table("setting of a recipe") if row[0] == "detectors")
    assert sorted(detectors.split()) == sorted(DETECTORS)


def test_manifest_table_has_every_column() -> None:
    assert set(first_names("column of a manifest")) == {*KNOWN.names, "<detector>_uri"} - MAP_URIS


def test_readme_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= LONGEST_README
    assert max(map(len, lines)) <= 120
