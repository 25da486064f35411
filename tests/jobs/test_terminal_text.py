"""Text for terminals."""

import json
import logging

import pytest

from jobs.logging_setup import configure_logging, report_error
from jobs.terminal_text import escape_controls
from pipeline.errors import StorageError

HOSTILE = "a\x1b]0;title\x07\n2026 ERROR forged\x9b2J\x7f é漢.jpg"
SAFE = "a\\x1b]0;title\\x07\\x0a2026 ERROR forged\\x9b2J\\x7f é漢.jpg"


def test_control_characters_are_escaped_and_other_characters_stay() -> None:
    assert escape_controls(HOSTILE) == SAFE
    assert escape_controls("invalid \udcff") == "invalid \\udcff"


def test_messages_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text", quiet=False)
    logging.getLogger("photo2anime.run").warning("%s: image.invalid", HOSTILE)
    report_error(StorageError(HOSTILE, ""))
    logged, reported = capsys.readouterr().err.splitlines()
    assert SAFE in logged
    assert "\x1b" not in reported
    assert "\\x1b" in reported


def test_lines_of_json_contain_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json", quiet=False)
    logging.getLogger("photo2anime.run").warning("%s", HOSTILE)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == HOSTILE
    assert escape_controls(line) == line
    assert "é漢" in line
