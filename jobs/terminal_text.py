"""Print text: names of photos and files may contain any characters, and tables may go to a file or a terminal."""

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# C0 and C1 control characters: a terminal would execute them, and a line break would look like another message.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


FILE_WIDTH = 10_000  # characters of a line of a file


def output_console() -> "Console":
    """Return a console for standard output, which divides the lines of a table on a terminal only."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else FILE_WIDTH)


def escape_controls(text: str) -> str:
    r"""Return a text with control characters written as `\x1b`, and invalid Unicode as `\udcff`."""
    escaped = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return escaped.encode("utf-8", "backslashreplace").decode()
