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
    """Return the meaning of each code in a printed table."""
    cells = [line.split("│") for line in output.splitlines() if line.startswith("│")]
    return {code.strip(): meaning.strip() for _, code, meaning, _ in cells}


def test_every_error_class_except_the_base_has_a_unique_code() -> None:
    exported = {getattr(errors, name) for name in errors.__all__}
    classes = {each for each in exported if isinstance(each, type)} - {errors.Photo2AnimeError}
    assert set(error_classes().values()) == classes


def test_without_a_code_all_codes_and_meanings_are_listed() -> None:
    result = explain()
    assert result.exit_code == 0
    for code, error in error_classes().items():
        assert (error.__doc__ or "").splitlines()[0] in rows_of(result.stdout)[code]


def test_details_of_a_run_error_include_hint_class_and_exit_code() -> None:
    lines = explain("manifest.missing_column").stdout.splitlines()
    assert lines[0] == MissingColumnError.code
    assert any(MissingColumnError.hint in line for line in lines)
    assert any(line.endswith(" MissingColumnError") for line in lines)
    assert lines[-1].endswith(" 2")
    assert explain(RunStoppedError.code).stdout.rstrip().endswith(" 1")


def test_details_of_a_photo_error_say_that_the_row_fails() -> None:
    assert explain(TruncatedImageError.code).stdout.rstrip().endswith("the photo becomes a failed row")


@pytest.mark.parametrize("kind", ["manifest", "fetch", "run"])
def test_a_kind_lists_all_of_its_codes(kind: str) -> None:
    codes = {code for code in error_classes() if code == kind or code.startswith(f"{kind}.")}
    assert rows_of(explain(kind).stdout).keys() == codes
    assert len(codes) > 2


def test_an_unknown_code_is_an_option_error_that_suggests_the_nearest_code() -> None:
    error = explain("manifest.missing_colum").exception
    assert isinstance(error, OptionError)
    assert error.exit_code == 2
    assert "manifest.missing_column" in str(error)
