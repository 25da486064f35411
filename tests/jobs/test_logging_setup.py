"""Logging of the command line: levels, formats, and the handler on standard error."""

import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime

import pytest
from typer.testing import CliRunner

from jobs.app import app
from jobs.logging_setup import LOGGER, JsonFormatter, configure_logging, progress_console, report_error
from jobs.progress import ProgressBar, ProgressLog, show_progress
from pipeline.errors import InterruptedRunError, MissingColumnError, RecipeError

RUN_LOGGER = logging.getLogger("photo2anime.run")


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logger() -> Iterator[None]:
    """Restore the handlers and the level of the logger after a test."""
    handlers, level = list(LOGGER.handlers), LOGGER.level
    yield
    LOGGER.handlers[:] = handlers
    LOGGER.setLevel(level)


def replace_stderr(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replace standard error by a terminal. A fixture cannot do this: pytest sets sys.stderr again before the test."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    return terminal


def log_at_all_levels() -> None:
    for level in ("debug", "info", "warning", "error"):
        getattr(RUN_LOGGER, level)("at %s", level)


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_log_records_below_the_level_are_omitted(level: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level, "text", quiet=False)
    log_at_all_levels()
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == count


def test_quiet_logs_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json", quiet=True)
    log_at_all_levels()
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == ["error"]


def test_text_is_one_plain_line_if_stderr_is_not_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text", quiet=False)
    RUN_LOGGER.info("3 of %d done [red]", 4)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("INFO photo2anime.run: 3 of 4 done [red]")


def test_json_has_one_object_per_line_with_extra_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json", quiet=False)
    RUN_LOGGER.info("first\nsecond")
    extras = {"run": "r1", "unit": "u1", "photo": "père.jpg", "code": "fetch.failed"}
    logging.getLogger("photo2anime.storage").warning("retry %d", 2, extra={**extras, "other": 1})
    plain, complete = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert plain.keys() == {"time", "level", "logger", "message"}
    assert plain["message"] == "first\nsecond"
    assert datetime.fromisoformat(plain["time"]).utcoffset() is not None
    del complete["time"]
    assert complete == {"level": "warning", "logger": "photo2anime.storage", "message": "retry 2", **extras}


def test_json_contains_the_exception_in_the_same_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json", quiet=False)
    RUN_LOGGER.error("failed", exc_info=KeyError("x"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "KeyError" in json.loads(line)["exception"]


def test_an_error_is_reported_as_text_or_as_json_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    error = MissingColumnError("m.parquet: column 'uri' is missing")
    configure_logging("info", "text", quiet=True)
    report_error(error)
    assert capsys.readouterr().err == f"photo2anime: {error} [{error.code}]\n"
    configure_logging("info", "json", quiet=True)
    report_error(error)
    record = json.loads(capsys.readouterr().err)
    assert (record["level"], record["message"], record["code"]) == ("error", str(error), error.code)


def test_root_and_other_loggers_are_unchanged() -> None:
    others = [logging.getLogger(name) for name in (None, "ray", "urllib3", "photo2animes")]
    before = [(list(logger.handlers), logger.level, logger.propagate, logger.disabled) for logger in others]
    configure_logging("debug", "json", quiet=False)
    assert [(list(logger.handlers), logger.level, logger.propagate, logger.disabled) for logger in others] == before


def test_a_second_call_replaces_only_its_own_handler() -> None:
    other = logging.NullHandler()
    LOGGER.addHandler(other)
    before = len(LOGGER.handlers)
    configure_logging("info", "text", quiet=False)
    count = len(LOGGER.handlers)
    configure_logging("info", "json", quiet=False)
    assert len(LOGGER.handlers) == count <= before + 1
    assert other in LOGGER.handlers
    assert isinstance(LOGGER.handlers[-1].formatter, JsonFormatter)


def test_progress_bar_and_log_share_a_console_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = replace_stderr(monkeypatch)
    configure_logging("info", "text", quiet=False)
    with show_progress() as progress:
        assert isinstance(progress, ProgressBar)
        progress.begin(4)
        logging.getLogger("photo2anime.run").info("no weights for [depth]")
        progress.advance(2, 1)
    output = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())  # without colours and cursor movements
    assert "no weights for [depth]" in output
    assert "INFO" in output
    assert "3/4" in output


@pytest.mark.parametrize(
    ("level", "log_format", "quiet"), [("info", "json", False), ("info", "text", True), ("error", "text", False)]
)
def test_json_quiet_and_higher_levels_disable_the_progress_bar(
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    log_format: str,
    quiet: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    terminal = replace_stderr(monkeypatch)
    configure_logging(level, log_format, quiet=quiet)  # type: ignore[arg-type]  # a str, not a Literal
    assert progress_console() is None
    with show_progress() as progress:
        assert isinstance(progress, ProgressLog)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("before", "after", "level", "is_json"),
    [
        ([], [], "INFO", False),
        (["--log-level", "debug", "--log-format", "json"], [], "DEBUG", True),
        ([], ["--log-level", "warning", "--log-format", "json"], "WARNING", True),
        (["--log-level", "debug", "--log-format", "json"], ["--log-level", "error"], "ERROR", True),
        (["-q"], [], "ERROR", False),
        ([], ["--quiet"], "ERROR", False),
    ],
)
@pytest.mark.parametrize("command", ["convert", "maps"])
def test_options_are_accepted_before_and_after_the_command_name(
    command: str,
    before: list[str],
    after: list[str],
    level: str,
    is_json: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    arguments = [*before, command, "none.parquet", "--output", "none", "--recipe", "no-such-recipe", *after]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, RecipeError)
    assert logging.getLevelName(LOGGER.level) == level
    assert isinstance(LOGGER.handlers[-1].formatter, JsonFormatter) == is_json


def test_an_unknown_level_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["--log-level", "loud", "recipes"]).exit_code == 2


def test_a_warning_of_a_library_is_one_json_record(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging("info", "json", quiet=False)
        warnings.warn("corrupt\nEXIF data", UserWarning, stacklevel=1)
    record = json.loads(capsys.readouterr().err)
    assert (record["level"], record["message"]) == ("warning", "UserWarning: corrupt EXIF data")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_signal_interrupts_a_log_record(*, is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Terminal):
        """A stream during whose writes a signal arrives."""

        def isatty(self) -> bool:
            return is_terminal

        def write(self, _text: str) -> int:
            raise InterruptedRunError("interrupted")

    monkeypatch.setattr(sys, "stderr", Interrupted())
    configure_logging("info", "text", quiet=False)
    with pytest.raises(InterruptedRunError):
        RUN_LOGGER.info("a record")
