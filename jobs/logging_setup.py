"""Logging of the command line: the logger `photo2anime` writes text or JSON to standard error."""

import json
import logging
import re
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from jobs.terminal_text import escape_controls
from pipeline.errors import RunError, RunStoppedError

if TYPE_CHECKING:
    from rich.console import Console

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

LOGGER = logging.getLogger("photo2anime")
WARNINGS = logging.getLogger("photo2anime.warnings")
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
HANDLER_NAME = "photo2anime.stderr"
EXTRA_FIELDS = ("run", "unit", "photo", "code")  # passed by the modules of `pipeline` as `extra=`
_NOT_ESCAPED = re.compile(r"[\x7f-\x9f\ud800-\udfff]")  # by json: control characters, and invalid Unicode


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, exception and `EXTRA_FIELDS`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object without line breaks; `time` is UTC, ISO 8601."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: getattr(record, name) for name in EXTRA_FIELDS if hasattr(record, name)}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        text = _without_secrets(json.dumps(fields, ensure_ascii=False, default=str))
        return _NOT_ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class TextFormatter(logging.Formatter):
    """Formats a record as one line of text, and its exception as further lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - a name of the standard library
        """Return the line, without control characters."""
        return escape_controls(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and the lines of an exception, without the secrets of the environment."""
        return _without_secrets(super().format(record))


class InterruptibleHandler(logging.Handler):
    """Raises the error of a signal that arrives while a record is written. Other errors are reported as usual."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - a name of the standard library
        """Handle the current exception of `emit`."""
        error = sys.exception()
        if isinstance(error, RunStoppedError):
            raise error
        super().handleError(record)


class StderrHandler(InterruptibleHandler):
    """Writes each record to the current `sys.stderr`, which may be replaced during the process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)


def configure_logging(level: LogLevel, log_format: LogFormat, *, quiet: bool) -> None:
    """Configure the logger `photo2anime`. The root logger and those of libraries stay unchanged.

    Args:
        level: The least severe level to log.
        log_format: `json` writes one object a line. `text` is formatted by rich on a terminal, and is plain elsewhere.
        quiet: Log errors only, and ignore `level`.
    """
    for handler in _own_handlers():
        LOGGER.removeHandler(handler)
    LOGGER.addHandler(_new_handler(log_format))
    warnings.showwarning = _log_warning  # Python would write lines that are not JSON
    LOGGER.setLevel("ERROR" if quiet else level.upper())


def _log_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Log a warning of a library as one record."""
    WARNINGS.warning("%s: %s", category.__name__, " ".join(str(message).split()))


def progress_console() -> "Console | None":
    """Return the console that the log shares with a progress bar. Returns None if no bar is shown.

    A bar is shown if the log is text on a terminal and includes level info.
    """
    consoles = [handler.console for handler in _own_handlers() if hasattr(handler, "console")]
    return consoles[0] if consoles and LOGGER.isEnabledFor(logging.INFO) else None


def report_error(error: RunError) -> None:
    """Write the error that ended a command to standard error, with its code, as JSON if the log is JSON."""
    if any(isinstance(handler.formatter, JsonFormatter) for handler in _own_handlers()):
        LOGGER.error(str(error), extra={"code": error.code})
    else:
        line = _without_secrets(escape_controls(f"photo2anime: {error} [{error.code}]"))
        print(line, file=sys.stderr)  # noqa: T201 - an error message is not a log record


def _without_secrets(text: str) -> str:
    # Imported here because pyarrow takes long to import, and the help of the command line logs nothing.
    from pipeline.storage.redaction import remove_environment_secrets

    return remove_environment_secrets(text)


def _own_handlers() -> list[logging.Handler]:
    return [handler for handler in LOGGER.handlers if handler.name == HANDLER_NAME]


def _new_handler(log_format: LogFormat) -> logging.Handler:
    handler: logging.Handler
    if log_format == "text" and sys.stderr.isatty():
        # Imported here because rich takes a tenth of a second.
        from rich.console import Console
        from rich.logging import RichHandler

        class TerminalHandler(InterruptibleHandler, RichHandler):
            """Writes each record to the terminal."""

        handler = TerminalHandler(console=Console(stderr=True), show_path=False, log_time_format="[%X]")
        handler.setFormatter(TextFormatter())
    else:
        handler = StderrHandler()
        handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(TEXT_FORMAT))
    handler.set_name(HANDLER_NAME)
    return handler
