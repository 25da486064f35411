"""The tree of errors: exit codes, and one line each."""

from pipeline import errors


def test_run_faults_are_one_line_with_what_and_how_to_mend() -> None:
    fault = errors.OutputError("out: is\nfull", "Free   some.")
    assert str(fault) == "out: is full. Free some."
    assert str(errors.OutputError("out: is full")) == "out: is full"


def test_exit_codes() -> None:
    before = [errors.RecipeError, errors.ManifestError, errors.ModelError, errors.OutputError, errors.StorageError]
    assert {fault.exit_code for fault in before} == {2}
    assert errors.RunStoppedError.exit_code == 1


def test_photo_faults_are_not_run_faults() -> None:
    assert not issubclass(errors.PhotoError, errors.RunError)
    assert errors.DecodeError("x").retryable is False
