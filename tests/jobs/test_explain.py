"""photo2anime explain: a table of all error codes, and the details of one."""

import pytest
from typer.testing import CliRunner, Result

from jobs.app import app
from jobs.explain import error_classes
from pipeline import errors
from pipeline.errors import MissingColumnError, OptionError, RunStoppedError, TruncatedImageError


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments], env={"COLUMNS": "200"})


def rows_of(output: str) -> dict[str, str]:
    """Return the meanings in a table by code."""
    cells = [line.split("│") for line in output.splitlines() if line.startswith("│")]
    return {code.strip(): meaning.strip() for _, code, meaning, _ in cells}


def test_every_error_class_has_its_own_code() -> None:
    classes = {getattr(errors, name) for name in errors.__all__} - {errors.Photo2AnimeError}
    assert set(error_classes().values()) == classes


def test_without_a_code_all_codes_and_meanings_are_listed() -> None:
    done = explain()
    assert done.exit_code == 0
    for code, error in error_classes().items():
        assert (error.__doc__ or "").splitlines()[0] in rows_of(done.stdout)[code]


def test_an_error_of_a_run_has_its_hint_class_and_exit_code() -> None:
    lines = explain("manifest.missing_column").stdout.splitlines()
    assert lines[0] == MissingColumnError.code
    assert any(MissingColumnError.hint in line for line in lines)
    assert any(line.endswith(" MissingColumnError") for line in lines)
    assert lines[-1].endswith(" 2")
    assert explain(RunStoppedError.code).stdout.rstrip().endswith(" 1")


def test_an_error_of_a_photo_becomes_a_failed_row() -> None:
    assert explain(TruncatedImageError.code).stdout.rstrip().endswith("the photo becomes a failed row")


@pytest.mark.parametrize("kind", ["manifest", "fetch", "run"])
def test_a_prefix_lists_the_codes_of_a_kind(kind: str) -> None:
    codes = {code for code in error_classes() if code == kind or code.startswith(f"{kind}.")}
    assert rows_of(explain(kind).stdout).keys() == codes
    assert len(codes) > 2


def test_an_unknown_code_suggests_the_nearest() -> None:
    done = explain("manifest.missing_colum")
    assert isinstance(done.exception, OptionError)
    assert done.exception.exit_code == 2
    assert "manifest.missing_column" in str(done.exception)
