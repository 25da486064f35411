"""The output's own account: ours, another recipe's, or nobody's."""

import json
import re
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import OutputError
from pipeline.output import run_file
from pipeline.output.run_file import RunMetadata, check_recipe, read_run_file, store_recipe, write_run_file
from pipeline.recipes.load import load_recipe
from schemas.recipe import Recipe


@pytest.fixture
def facts(recipe: Recipe) -> RunMetadata:
    return RunMetadata("run-1", recipe, "0.1.0", None)


def test_what_is_written_is_read(tmp_path: Path, facts: RunMetadata) -> None:
    assert read_run_file(str(tmp_path / "new")) is None
    write_run_file(str(tmp_path), facts, {"status": "running"})
    account = read_run_file(str(tmp_path))
    assert account is not None
    assert (account["status"], account["run_id"], account["recipe_digest"]) == ("running", "run-1", facts.recipe.digest)
    assert Recipe.model_validate(account["recipe"]) == facts.recipe


@pytest.mark.parametrize("folder", ["images", "provenance", "_plan", "maps"])
def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(OutputError, match=f"holds '{folder}' but no _run.json"):
        read_run_file(str(tmp_path))


@pytest.mark.parametrize("text", ["{", json.dumps([1]), json.dumps({"a": 1})])
def test_an_account_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "_run.json").write_text(text)
    with pytest.raises(OutputError, match="cannot be read|was not written by this program"):
        read_run_file(str(tmp_path))


def test_another_recipe_needs_leave(tmp_path: Path, facts: RunMetadata) -> None:
    write_run_file(str(tmp_path), facts, {"status": "running"})
    account, other = read_run_file(str(tmp_path)), load_recipe("demo")
    with pytest.raises(OutputError, match="they differ in area, steps"):
        check_recipe(str(tmp_path), account, other, reconvert=False)
    check_recipe(str(tmp_path), account, other, reconvert=True)
    check_recipe(str(tmp_path), account, facts.recipe.model_copy(update={"batch_size": 7}), reconvert=False)


def test_every_recipe_stays_under_its_digest(tmp_path: Path, recipe: Recipe) -> None:
    store_recipe(str(tmp_path), recipe)
    (kept,) = storage.names(str(tmp_path / "_recipes"))
    assert kept == f"{recipe.digest[:16]}.yaml"
    assert load_recipe(str(tmp_path / "_recipes" / kept)) == recipe


def test_version_and_commit() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", run_file.project_version())
    commit = run_file.git_commit()
    if (Path(run_file.__file__).parents[2] / ".git").exists():
        assert commit is not None
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


def test_an_image_says_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_file, "__file__", str(tmp_path / "pipeline" / "output" / "run_file.py"))
    monkeypatch.setenv("PHOTO2ANIME_COMMIT", "abc")
    assert run_file.git_commit() == "abc"
