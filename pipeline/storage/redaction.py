"""Remove credentials and signed queries from addresses and texts."""

import re
from typing import Any

WEB_SCHEMES = frozenset({"http", "https"})


def redact(uri: str) -> str:
    """Return `uri` without what may be a secret: a login, and the query where signatures stand.

    Never fails, whatever the text. A name such as `abfss://container@account` is no login, since it has no password,
    and an object's name may hold `#` or `?`.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    place, slash, path = rest.partition("/")
    login, at, host = place.rpartition("@")
    web = scheme.lower() in WEB_SCHEMES
    shown = host if at and (web or ":" in login) else place
    cut = re.split(r"[?#]" if web else r"\?(?=[\w.~-]+=)", f"{shown}{slash}{path}", maxsplit=1)[0]
    return f"{scheme}{mark}{cut}"


def redact_text(text: str) -> str:
    """Return `text` with every address in it redacted."""
    return re.sub(r"[\w+.-]+://[^\s'\"<>)\]}]+", lambda match: redact(match.group()), text)


def redact_all(value: Any) -> Any:  # noqa: ANN401 - any tree of JSON
    """Return a tree of dictionaries and lists with every text in it redacted."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: redact_all(entry) for key, entry in value.items()}
    return [redact_all(entry) for entry in value] if isinstance(value, (list, tuple)) else value
