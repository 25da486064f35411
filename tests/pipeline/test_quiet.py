"""Silence on standard error, for compiled code too, and for as long as it lasts."""

import os

import pytest

from pipeline.quiet import silence_stderr


def test_nothing_is_heard_within_and_all_after(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_stderr():
        os.write(2, b"nobody hears this\n")
    os.write(2, b"but this\n")
    assert capfd.readouterr().err == "but this\n"


def test_an_error_within_comes_through(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="invalid literal"), silence_stderr():
        int("none")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
