"""Findings count all problems, and keep the first ones in alphabetical order."""

import tempfile
from pathlib import Path

import pytest

from pipeline.errors import DiskFullError
from pipeline.output.findings import KEPT_LINES, Findings, Lines, NameFile


def test_all_lines_are_counted_and_the_first_ones_are_kept() -> None:
    texts = [f"{number:06d}" for number in range(5 * KEPT_LINES)]
    lines = Lines(texts[::-2] + texts[::2])
    assert len(lines) == len(texts)
    assert lines.first(3) == texts[:3]
    assert lines.first(10 * KEPT_LINES) == texts[:KEPT_LINES]
    assert Lines(["b", "a"]).first(9) == ["a", "b"]


def test_names_of_any_characters_are_read_back_more_than_once() -> None:
    names = NameFile()
    expected = ["a", "line\nbreak", "\udcff", "\u00e4"]
    for name in expected:
        names.add(name)
    assert list(names) == list(names) == expected
    assert len(names) == 4


def test_names_that_do_not_fit_on_the_disk_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda *_, **__: Path("/dev/full").open("w+"))  # noqa: SIM115
    names = NameFile()
    names.add("in the buffer of the file")
    with pytest.raises(DiskFullError):
        list(names)
    with pytest.raises(DiskFullError):
        names.add("x" * 2**21)


def test_an_output_without_problems_is_valid() -> None:
    assert Findings().valid
    findings = Findings()
    findings.altered.add("x")
    assert not findings.valid
