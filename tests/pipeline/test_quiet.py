"""Standard error is discarded inside of silence_stderr, also for compiled code, and restored afterwards."""

import os

import pytest

from pipeline.quiet import silence_stderr


def test_standard_error_is_discarded_and_restored(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_stderr():
        os.write(2, b"discarded\n")
    os.write(2, b"printed\n")
    assert capfd.readouterr().err == "printed\n"


def test_standard_error_is_restored_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="invalid literal"), silence_stderr():
        int("none")
    os.write(2, b"printed\n")
    assert capfd.readouterr().err == "printed\n"
