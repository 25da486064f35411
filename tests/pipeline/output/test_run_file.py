"""The run file: metadata, recipe changes, and folders that are not outputs."""

import json
import re
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import DamagedOutputError, LeaseLostError, NotAnOutputError, RecipeChangedError
from pipeline.output import run_file
from pipeline.output.lease import lease_of
from pipeline.output.run_file import (
    RunMetadata,
    check_recipe,
    damaged_recipes,
    read_run_file,
    store_recipe,
    write_run_file,
    write_stopped,
)
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe


@pytest.fixture
def run(recipe: Recipe) -> RunMetadata:
    return RunMetadata("run-1", recipe, "0.1.0", None)


def test_the_run_file_is_read_as_written(tmp_path: Path, run: RunMetadata) -> None:
    assert read_run_file(str(tmp_path / "new")) is None
    write_run_file(str(tmp_path), run, {"status": "running"})
    metadata = read_run_file(str(tmp_path))
    assert metadata is not None
    assert (metadata["status"], metadata["run_id"]) == ("running", "run-1")
    assert metadata["recipe_digest"] == run.recipe.digest
    assert Recipe.model_validate(metadata["recipe"]) == run.recipe


@pytest.mark.parametrize("folder", ["images", "provenance", "_plan", "maps"])
def test_a_folder_with_files_but_without_a_run_file_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(NotAnOutputError, match=f"'{folder}'"):
        read_run_file(str(tmp_path))


def test_a_lease_does_not_make_a_folder_an_output(tmp_path: Path, run: RunMetadata) -> None:
    with lease_of(str(tmp_path), "convert") as lease:
        lease.acquire()
        assert read_run_file(str(tmp_path)) is None
        write_run_file(str(tmp_path), run, {"status": "running"})
        assert read_run_file(str(tmp_path)) is not None


def test_no_run_file_is_written_without_the_lease(tmp_path: Path, run: RunMetadata) -> None:
    write_run_file(str(tmp_path), run, {"status": "running"})
    with lease_of(str(tmp_path), "convert") as lease:
        lease.acquire()
        lease._is_lost = True
        with pytest.raises(LeaseLostError) as lost:
            write_run_file(str(tmp_path), run, {"status": "finished"})
        write_stopped(str(tmp_path), run, 3, lost.value)  # raises no error
    metadata = read_run_file(str(tmp_path))
    assert metadata is not None
    assert metadata["status"] == "running"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", DamagedOutputError),
        (json.dumps([1]), NotAnOutputError),
        (json.dumps({"a": 1}), NotAnOutputError),
        (json.dumps({"recipe_digest": "0", "run_id": "r", "status": "finished"}), DamagedOutputError),
        (json.dumps({"recipe_digest": None, "run_id": "r", "status": "finished", "recipe": {}}), DamagedOutputError),
    ],
)
def test_an_invalid_run_file_is_refused(tmp_path: Path, text: str, expected: type[Exception]) -> None:
    (tmp_path / "_run.json").write_text(text)
    with pytest.raises(expected, match="_run.json: "):
        read_run_file(str(tmp_path))


def test_another_recipe_is_accepted_only_to_reconvert(tmp_path: Path, run: RunMetadata) -> None:
    write_run_file(str(tmp_path), run, {"status": "running"})
    metadata, other = read_run_file(str(tmp_path)), load_recipe("demo")
    with pytest.raises(RecipeChangedError, match="area, steps"):
        check_recipe(str(tmp_path), metadata, other, reconvert=False)
    check_recipe(str(tmp_path), metadata, other, reconvert=True)
    check_recipe(str(tmp_path), metadata, run.recipe.model_copy(update={"batch_size": 7}), reconvert=False)
    changed = run.recipe.model_copy(update={"steps": 7, "memory": "low", "compile": "off"})
    with pytest.raises(RecipeChangedError, match=r"they differ in steps\. "):
        check_recipe(str(tmp_path), metadata, changed, reconvert=False)


def test_a_recipe_is_stored_under_its_digest(tmp_path: Path, recipe: Recipe) -> None:
    store_recipe(str(tmp_path), recipe)
    (name,) = storage.names(str(tmp_path / "_recipes"))
    assert name == f"{recipe.digest[:16]}.yaml"
    assert load_recipe(str(tmp_path / "_recipes" / name)) == recipe


@pytest.mark.parametrize("change", [(b"steps: 2", b"steps: 3"), (b"steps:", b"stepz:"), (b"seed: 0", b"seed: {")])
def test_a_stored_recipe_that_was_altered_is_found(tmp_path: Path, recipe: Recipe, change: tuple[bytes, bytes]) -> None:
    store_recipe(str(tmp_path), recipe)
    store_recipe(str(tmp_path), recipe.model_copy(update={"steps": 9}))
    assert damaged_recipes(str(tmp_path)) == []
    path = tmp_path / "_recipes" / f"{recipe.digest[:16]}.yaml"
    assert change[0] in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(*change))
    assert damaged_recipes(str(tmp_path)) == [f"_recipes/{path.name}"]


def test_a_stored_recipe_without_its_credentials_is_not_altered(tmp_path: Path, recipe: Recipe) -> None:
    secret = recipe.model_copy(update={"prompt": "https://user:secret@host/a?token=1"})
    store_recipe(str(tmp_path), secret)
    (path,) = (tmp_path / "_recipes").iterdir()
    assert "secret" not in path.read_text()
    assert damaged_recipes(str(tmp_path)) == []
    assert load_recipe(str(path)).prompt == "https://host/a"


def test_the_version_and_the_commit_are_recorded() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", run_file.project_version())
    commit = run_file.git_commit()
    if (Path(run_file.__file__).parents[2] / ".git").exists():
        assert commit is not None
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


def test_the_environment_names_the_commit_without_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_file, "__file__", str(tmp_path / "pipeline" / "output" / "run_file.py"))
    monkeypatch.setenv("PHOTO2ANIME_COMMIT", "abc")
    assert run_file.git_commit() == "abc"
