"""Remove credentials and signed queries from addresses and texts."""

import re
from typing import Any

WEB_SCHEMES = frozenset({"http", "https"})


def redact(uri: str) -> str:
    """Remove the login and the query from an address, because both may contain secrets.

    Accepts any text, including invalid addresses. From http and https addresses, every login, query and fragment is
    removed. In other schemes:

    - A login is removed only if it has a password, because the container in `abfss://container@account` is not a login.
    - A query is removed only if it starts with `?name=`, because the names of stored objects may contain `?` and `#`.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    authority, slash, path = rest.partition("/")
    login, at, host = authority.rpartition("@")
    is_web = scheme.lower() in WEB_SCHEMES
    if at and (is_web or ":" in login):
        authority = host
    query_start = r"[?#]" if is_web else r"\?(?=[\w.~-]+=)"
    return f"{scheme}://" + re.split(query_start, f"{authority}{slash}{path}", maxsplit=1)[0]


def redact_text(text: str, uri: str = "") -> str:
    """Redact every address in a text.

    Args:
        text: The text, such as the message of a storage library.
        uri: The address that the text is about. Its login is also removed where it occurs without the scheme.
    """
    login, at, _ = uri.partition("://")[2].partition("/")[0].rpartition("@")
    if at and f"{login}@" not in redact(uri):
        text = text.replace(f"{login}@", "")
    return re.sub(r"[\w+.-]+://[^\s'\"<>)\]}]+", lambda match: redact(match.group()), text)


def redact_all(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Redact every text in a tree of dictionaries and lists."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: redact_all(entry) for key, entry in value.items()}
    return [redact_all(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def escape(path: str) -> str:
    r"""Write the bytes of a local path that are not UTF-8 as `\xff`, so that it can be printed."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
