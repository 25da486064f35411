"""Make text safe to print: names of photos and files may contain any characters."""

import re

# C0 and C1 control characters: a terminal would execute them, and a line break would look like another message.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def escape_controls(text: str) -> str:
    r"""Return a text with control characters written as `\x1b`, and invalid Unicode as `\udcff`."""
    escaped = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return escaped.encode("utf-8", "backslashreplace").decode()
