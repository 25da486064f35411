"""Remove secrets from addresses, texts and messages: logins, signed queries, and secrets of the environment.

An address is redacted by its structure, and so is every address in a text of a manifest or a recipe. The environment
does not change these texts, because they decide what an image looks like. The message of a library may quote an address
in any way, so that the secrets of the addresses that it is about, and of the environment, are also removed literally.

Every function takes a time that grows linearly with the length of a text, because a manifest may contain any text.
"""

import base64
import functools
import os
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

WEB_SCHEMES = frozenset({"http", "https"})
REMOVED = "***"
_SCHEME = re.compile(r"(?:[A-Za-z][\w+.-]*::)*[A-Za-z][\w+.-]*:/+|//")  # or several, as fsspec chains them
_LOGIN = re.compile(r"[^/:@]*:[^@]*@", re.DOTALL)  # a user and a password
# In a local path. The path of a manifest's folder precedes an address whose scheme is invalid, or missing.
_ADDRESS_IN_PATH = re.compile(r"(?<![^/])[A-Za-z][\w+.-]+:/")
_LOGIN_IN_PATH = re.compile(r"(?<![^/])([^\s/:@]+:[^\s/@]+)@")
_HOST_AND_PORT = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_WEB_QUERY, _QUERY = re.compile(r"[?#]"), re.compile(r"\?(?=[\w.~%-]+=)")
# The length of a scheme is limited, so that a long word is not searched again from each of its letters.
_IN_TEXT = re.compile(r"(?:[A-Za-z][\w+.-]{0,40}:/+|(?<![\w:/])//)\S*")
_WORD = re.compile(r"\S+")
_USER_IN_WORD = re.compile(r"(?<![^'\"<>()\[\]{},;=:/])[^'\"<>()\[\]{},;=:/]+:(?=.)")
_HOST_AFTER_LOGIN = re.compile(r"[\w\[]")
_HOST_IN_SENTENCE = re.compile(r"[\w-]+\.\w|[\w.-]+:\d|[\w.-]+/|\[|localhost\b")  # unlike `4:3@2x` or `by:me@home`
# The names of parameters whose values are secrets wherever they occur, as in an error message without an address.
_PARAMETER = re.compile(
    r"(?i)((?:signature|credential|token|password|passwd|secret|api[_-]?key|access_?key|account_?key|access_?key_?id"
    r"|googleaccessid|(?:(?<![a-z])|(?<=%3F)|(?<=%26))(?:sig|auth|pwd))(?:=|%3D))[^\s&;,'\"]{6,}"
)
# The tokens of well-known services, wherever they occur.
_TOKEN = re.compile(r"\b(?:hf_|gh[opsu]_|sk-|xox[bp]-|AKIA|ASIA)[A-Za-z0-9_-]{16,}")
_HEADER = re.compile(r"(?i)\b(bearer|basic) +[\w.~+/-]{8,}=*")  # of a request, in a message
_IN_JSON = re.compile(r"(?i)((?:signature|token|password|passwd|secret|api[_-]?key)[\"']? *: *[\"']?)[^\s&;,'\"]{6,}")
# In these schemes, the user of an address is a container of objects.
_CONTAINER_SCHEMES = frozenset({"abfs", "abfss", "wasb", "wasbs", "az", "adl", "s3", "s3a", "gs", "gcs", "memory"})
_SECRET_VARIABLE = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|ACCOUNT_KEY|STORAGE_KEY|PRIVATE_KEY|CREDENTIAL"
    r"|CONNECTION_STRING|(?:^|_)SAS(?:_|$)|(?:^|_)PASS$|._PWD$"
)
_SECRET_PART = re.compile(r"(?i)\w*(key|signature|sig)=")  # of a connection string or a signed query
_NO_SECRET_VARIABLE = re.compile(r"(_PATH|_FILE|_MODE|_URI|GOOGLE_APPLICATION_CREDENTIALS)$")
_ADDRESS_VARIABLE = re.compile(r"(?i)(_URL|_URI|_PROXY|_ENDPOINT)$")
# Shorter values are not removed literally, because they occur in ordinary words.
_SHORTEST_PASSWORD, _SHORTEST_VALUE, _SHORTEST_VARIABLE = 3, 6, 8


class _Address(NamedTuple):
    """The parts of an address. The scheme has its colon and slashes, and the query its `?` or `#`."""

    scheme: str
    login: str
    place: str
    query: str


def redact(uri: str) -> str:
    """Remove the login and the query from an address, because both may contain secrets.

    Accepts any text, including invalid addresses. A login with a password ends at the last `@`, because a password may
    contain any character. From http and https addresses, every login, query and fragment is removed. In other schemes:

    - A login is removed only if it has a password, because the container in `abfss://container@account` is not a login.
    - A query is removed only if it starts with `?name=`, because the names of stored objects may contain `?` and `#`.
    """
    address = _split(uri)
    return _PARAMETER.sub(rf"\1{REMOVED}", address.scheme + address.place)


def redact_text(text: str) -> str:
    """Remove the secrets of the addresses in a text of a user, such as a prompt or a setting.

    The result depends on the text alone.
    """
    host = _HOST_IN_SENTENCE if len(text.split(maxsplit=1)) > 1 else _HOST_AFTER_LOGIN
    return _redact_addresses(text, host)


def redact_message(text: str, *uris: str | None) -> str:
    """Remove the secrets of addresses and of the environment from a message.

    Args:
        text: The message, for example of a storage library. It may contain any addresses.
        uris: The addresses that the message is about.
    """
    for secret in sorted({each for uri in uris if uri for each in secrets_of(uri)}, key=len, reverse=True):
        text = text.replace(secret, REMOVED)
    text = _redact_addresses(remove_environment_secrets(text), _HOST_AFTER_LOGIN)
    return _IN_JSON.sub(rf"\1{REMOVED}", _HEADER.sub(rf"\1 {REMOVED}", text))


def redact_all(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Redact every text in a tree of dictionaries and lists."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: redact_all(entry) for key, entry in value.items()}
    return [redact_all(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def secrets_of(uri: str) -> set[str]:
    """Return the secrets of an address in all forms in which a library may quote them: raw, decoded and encoded."""
    address = _split(uri)
    user, _, password = address.login.partition(":")
    query = address.query[1:]
    values = (value for _, value in parse_qsl(query, keep_blank_values=True))
    secrets = {each for each in (query, *values, user, address.login) if len(each) >= _SHORTEST_VALUE}
    secrets |= {each for each in (password,) if len(each) >= _SHORTEST_PASSWORD}
    if password:  # as in the header of a request
        secrets |= {base64.b64encode(each.encode()).decode() for each in (address.login, unquote(address.login))}
    return {form for secret in secrets for form in _forms(secret)}


def remove_environment_secrets(text: str) -> str:
    """Remove the values of environment variables that are secrets by their names from a text."""
    for secret in _environment_secrets(tuple(os.environ.items())):
        text = text.replace(secret, REMOVED)
    return text


def escape(path: str) -> str:
    r"""Write the bytes of a local path that are not UTF-8 as `\xff`, so that it can be printed."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _split(uri: str) -> _Address:
    match = _SCHEME.match(uri)
    scheme = match.group() if match else ""
    is_web = scheme.rstrip(":/").rpartition(":")[2].lower() in {*WEB_SCHEMES, ""}
    rest = uri[len(scheme) :]
    if not scheme:
        return _split_path(uri)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    is_host = is_web and _HOST_AND_PORT.fullmatch(authority)
    login, at, after = rest.rpartition("@")
    if not (at and _LOGIN.match(rest) and not is_host):
        has_user = is_web or scheme.rstrip(":/").rpartition(":")[2].lower() not in _CONTAINER_SCHEMES
        login, at, _ = authority.rpartition("@") if has_user else ("", "", "")
        after = rest[len(login) + len(at) :]
    query = (_WEB_QUERY if is_web else _QUERY).search(after)
    start = query.start() if query else len(after)
    return _Address(scheme, login, after[:start], after[start:])


def _split_path(path: str) -> _Address:
    address = _ADDRESS_IN_PATH.search(path)
    if address:
        parts = _split(path[address.start() :])
        return parts._replace(scheme=path[: address.start()] + parts.scheme)
    login = _LOGIN_IN_PATH.search(path)
    return _Address(path[: login.start()], login[1], path[login.end() :], "") if login else _Address("", "", path, "")


def _forms(secret: str) -> set[str]:
    decoded = {secret, unquote(secret), unquote_plus(secret)}
    encodings = (str, quote, lambda text: quote(text, safe=""), quote_plus, lambda text: repr(text)[1:-1])
    return {encode(each) for each in decoded for encode in encodings}


def _redact_addresses(text: str, host: re.Pattern[str]) -> str:
    """Redact the addresses and parameters in a text. `host` matches what follows a login without a scheme."""
    text = _IN_TEXT.sub(lambda match: redact(match.group()), text)
    if "@" in text:
        text = _WORD.sub(lambda match: _without_logins(match.group(), host), text)
    return _TOKEN.sub(REMOVED, _PARAMETER.sub(rf"\1{REMOVED}", text))


def _without_logins(word: str, host: re.Pattern[str]) -> str:
    """Remove each `user:password@` that is followed by a host."""
    *logins, rest = word.split("@")
    kept, position = "", 0
    for login in logins:
        position += len(login) + 1
        user = _USER_IN_WORD.search(login)
        kept += login[: user.start()] if user and host.match(word, position) else f"{login}@"
    return kept + rest


@functools.lru_cache(1)
def _environment_secrets(variables: tuple[tuple[str, str], ...]) -> list[str]:
    """Return the secrets of environment variables, the longest first."""
    secrets = set[str]()
    for name, value in variables:
        if _ADDRESS_VARIABLE.search(name):
            login = _split(value).login
            user = login.partition(":")[0] if ":" in login else ""  # the name of a user is a secret only if it is alone
            secrets |= {each for each in secrets_of(value) if len(each) >= _SHORTEST_VALUE and each != user}
        elif _SECRET_VARIABLE.search(name.upper()) and not _NO_SECRET_VARIABLE.search(name.upper()):
            parts = [part.partition("=")[2] for part in re.split(r"[;&?]", value) if _SECRET_PART.match(part)]
            secrets |= {form for each in (value, *parts) if len(each) >= _SHORTEST_VARIABLE for form in _forms(each)}
    return sorted(secrets, key=len, reverse=True)
