"""Logins, queries and other secrets are removed from addresses and texts, and everything else is kept."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.storage.redaction import REMOVED, redact, redact_all, redact_message, redact_text, secrets_of

KEPT = [
    "/data/photos/a@b.jpg",
    "/data/2026-01-01T12:30:00/a@2x.jpg",
    "C:/photos/a@b.jpg",
    "photos/a?b#c.jpg",
    "s3://bucket/user@mail.com/x.jpg",
    "s3://bucket/a?b#c.jpg",
    "abfss://container@account/a.jpg",
    "abfs://container@account.dfs.core.windows.net/a.jpg",
    "https://host/@user/photo.jpg",
    "https://host:8443/a@b.jpg",
    "http://[::1]:9000/a@b.jpg",
    "http://minio:9000/bucket/a.jpg",
    "memory://photos/12:30.jpg",
    "az://container/a b.jpg",
    "not an address",
    "",
]
REDACTED = {
    "https://user:pass@host/x.jpg": "https://host/x.jpg",
    "https://token@host/x.jpg": "https://host/x.jpg",
    "https://host/x.jpg?sig=SECRET": "https://host/x.jpg",
    'https://host/x.jpg?a="b&sig=SECRET': "https://host/x.jpg",
    "https://host/x.jpg#SECRET": "https://host/x.jpg",
    "HTTPS://host/x.jpg?sig=SECRET": "HTTPS://host/x.jpg",
    "s3://KEY:SECRET@bucket/x.jpg": "s3://bucket/x.jpg",
    "s3://KEY:SEC/RET@bucket/x.jpg": "s3://bucket/x.jpg",
    "s3://KEY:S@E/C?R#E T@bucket/x.jpg": "s3://bucket/x.jpg",
    "s3://KEY:12345/67@bucket/x.jpg": "s3://bucket/x.jpg",
    "s3://:SECRET@bucket/x.jpg": "s3://bucket/x.jpg",
    "s3://bucket/x.jpg?X-Amz-Signature=SECRET": "s3://bucket/x.jpg",
    "abfss://container:SECRET@account/a.jpg": "abfss://account/a.jpg",
    "ftp://user:pass@host/x.jpg": "ftp://host/x.jpg",
    "//user:pass@host/x.jpg": "//host/x.jpg",
    "//host/x.jpg?sig=SECRET": "//host/x.jpg",
    "http:/user:pass@host/x.jpg": "http:/host/x.jpg",
    "http:///user:pass@host/x.jpg": "http:///host/x.jpg",
    "user:pass@host/x.jpg": "host/x.jpg",
    "simplecache::https://user:pass@host/x.jpg?sig=SECRET": "simplecache::https://host/x.jpg",
    "zip://a.jpg::s3://KEY:SECRET@bucket/x.zip": "zip://bucket/x.zip",
    "/folder/user:pass@host/x.jpg": "/folder/host/x.jpg",
    "/folder/http:/user:pa/ss@host/x.jpg": "/folder/http:/host/x.jpg",
    "/folder/https:/host/x.jpg?sig=SECRET": "/folder/https:/host/x.jpg",
    "https://host/a.jpg;sig=SECRET": "https://host/a.jpg;sig=***",
    "https://host/a.jpg%3Fsig%3DSECRET": "https://host/a.jpg%3Fsig%3D***",
    "ftp://SECRET@host/x.jpg": "ftp://host/x.jpg",
    "https://user:p@ss:w@rd@host:8443/x.jpg": "https://host:8443/x.jpg",
}


@pytest.mark.parametrize("uri", KEPT)
def test_an_address_without_secrets_is_kept(uri: str) -> None:
    assert redact(uri) == uri
    assert secrets_of(uri) == set()


@pytest.mark.parametrize("uri", REDACTED)
def test_logins_and_queries_are_removed(uri: str) -> None:
    assert redact(uri) == REDACTED[uri]
    assert redact(redact(uri)) == redact(uri)


def test_a_query_of_a_bucket_is_removed_only_if_it_looks_like_one() -> None:
    assert redact("s3://bucket/a?versionId=SECRET") == "s3://bucket/a"
    assert redact("s3://bucket/what?.jpg") == "s3://bucket/what?.jpg"


ADDRESSES = st.tuples(
    st.sampled_from(["https", "s3", "ftp", "webdav"]),
    st.text(st.characters(codec="utf-8", exclude_characters="/:@?#\x00"), min_size=6, max_size=12),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=6, max_size=20),
    st.text(st.characters(codec="utf-8", exclude_characters="&=#+%;@\x00"), min_size=6, max_size=20),
)
QUOTINGS = [
    "{}", "no answer from {}", "'{}'", '"{}": failed', "({})", "<{}>", "[{}, 403]", "{}.", "url={} status=403", "{} {}",
]  # fmt: skip


@given(ADDRESSES, st.sampled_from(QUOTINGS), st.sampled_from([str, quote, repr, lambda text: quote(text, safe="")]))
def test_no_secret_of_an_address_is_left_in_a_message_about_it(
    parts: tuple[str, str, str, str], quoting: str, encode: object
) -> None:
    scheme, user, password, value = parts
    assume(not user.isspace() and password.strip() and value.strip())
    uri = f"{scheme}://{user}:{password}@host/a.jpg?sig={value}"
    header = base64.b64encode(f"{user}:{password}".encode()).decode()
    text = f"{quoting.replace('{}', uri)} {encode(password)} {encode(value)} Basic {header}"  # type: ignore[operator]
    found = redact_message(text, uri)
    assert password not in found
    assert value not in found
    assert header not in found
    assert password not in redact(uri).removeprefix(f"{scheme}://")


def test_every_address_of_a_text_is_redacted() -> None:
    # A query may contain quotes and brackets, so that those after it are removed too.
    redacted = redact_message("403 for url='https://k:s@host/x.png?sig=1', twice <https://host/y?token=2> (s3://b/x)")
    assert redacted == "403 for url='https://host/x.png twice <https://host/y (s3://b/x)"


def test_secrets_of_several_addresses_are_removed() -> None:
    uris = ["s3://KEYKEY:SECRET1@a/x", None, "https://h/x?sig=SECRET2", ""]
    assert redact_message("SECRET1 and SECRET2 of KEYKEY", *uris) == f"{REMOVED} and {REMOVED} of {REMOVED}"


@pytest.mark.parametrize(
    "text",
    [
        "cannot connect to https://user:SECRET@host/x",
        "cannot connect to user:SECRET@host",
        "GET https://h/x?sig=SECRET (403)",
        "The request signature X-Amz-Signature=SECRET&other=1 does not match",
        "AccountName=a;AccountKey=SECRET;",
        "token=SECRET",
        "client_secret=SECRET",
        "aws_secret_access_key=SECRET",
        "api-key=SECRET",
        '{"password":"SECRET"}',
        "password: SECRET",
        "Authorization: Bearer SECRET12",
        "Basic SECRET12",
        "the server refused hf_SECRETSECRETSECRET",
        "no access for AKIASECRETSECRETSECRET",
        "redirected to //user:SECRET@host/x",
        "https://h/x?a=\"b&sig=SECRET'",
    ],
)
def test_secrets_of_unknown_addresses_are_removed(text: str) -> None:
    assert "SECRET" not in redact_message(text)


@pytest.mark.parametrize(
    "text",
    [
        "photos.parquet: column 'uri' is missing. Write a Parquet file with the columns photo_id and uri.",
        "12:30 a.jpg: image.invalid: cannot be decoded (OSError: -2)",
        "s3://bucket/a.jpg: not found",
        "recipe demo: steps=8 key=value",
    ],
)
def test_texts_without_secrets_are_kept(text: str) -> None:
    assert redact_message(text) == text


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", "abcdefgh/ijkl+mn", "abcdefgh/ijkl+mn"),
        ("AWS_SESSION_TOKEN", "sessiontoken1", "sessiontoken1"),
        ("HF_TOKEN", "hf_abcdefghij", "hf_abcdefghij"),
        ("MY_PASSWORD", "correct horse", "correct horse"),
        ("DB_PASS", "correct horse", "correct horse"),
        ("MYSQL_PWD", "correct horse", "correct horse"),
        ("AZURE_STORAGE_SAS_TOKEN", "sig=abcdefgh", "abcdefgh"),
        ("OPENAI_API_KEY", "sk-abcdefgh", "sk-abcdefgh"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=abcdefgh==;", "abcdefgh=="),
        ("HTTPS_PROXY", "http://user:proxysecret@proxy:3128", "proxysecret"),
        ("DATABASE_URL", "postgres://user:dbsecret@host/db", "dbsecret"),
    ],
)
def test_secrets_of_the_environment_are_removed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: str
) -> None:
    monkeypatch.setenv(name, value)
    assert secret not in redact_message(f"the server refused {secret} and {quote(secret)}")
    assert quote(secret, safe="") not in redact_message(f"refused {quote(secret, safe='')}")


def test_short_and_public_variables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/user/token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/home/user/token")
    assert redact_message("a test in /home/user/token") == "a test in /home/user/token"


@pytest.mark.parametrize(
    "text",
    [
        "anime, a wall of photos; a cat",
        "photo:jane@studio; a cat",
        "4:3@2x crop",
        "token=blue; a toy",
        "a test of secrets in postgres://db/app",
    ],
)
def test_a_prompt_without_addresses_is_kept_in_any_environment(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://photos:secrets@db/app")
    monkeypatch.setenv("MY_PASSWORD", "a wall of photos")
    assert redact_text(text) == text
    assert redact_all([text]) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "see https://user:SECRET@host/x for more",
        "user:SECRET@host",
        "a cat from user:SECRET@host.example",
        "a cat from user:SECRET@localhost",
        "a cat from user:SECRET@host/x",
        "a cat from user:SECRET@host:8080",
        "a cat, token=SECRET",
    ],
)
def test_the_secrets_of_addresses_are_removed_from_a_prompt(text: str) -> None:
    assert "SECRET" not in redact_text(text)


def test_the_user_of_an_address_in_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://photos:hunter22@db/app")
    monkeypatch.setenv("DISASTER_RECOVERY_BUCKET", "backup-bucket")
    assert redact_message("hunter22: photos of backup-bucket") == "***: photos of backup-bucket"


LENGTH = 300_000  # a time that grows with the square of this length is hours


@pytest.mark.parametrize("part", ["a", "a:", "a@", "a:a@", "/", "a/", ":/", "?", "&a=", "a:a,", "'", "a.", "a::", "@:"])
@pytest.mark.parametrize("start", ["", "http://", "s3://b/", "//"])
def test_long_texts_are_redacted_in_linear_time(start: str, part: str) -> None:
    text = start + part * (LENGTH // len(part)) + " /"
    assert len(redact_text(text)) <= len(text)
    assert len(redact_message(text)) <= len(text)
    assert len(redact(text)) <= len(text)


def test_every_text_of_a_tree_is_redacted() -> None:
    tree = {"a": ["https://h/x?sig=SECRET", 1, None], "b": {"c": "s3://K:SECRET@b/x"}}
    assert redact_all(tree) == {"a": ["https://h/x", 1, None], "b": {"c": "s3://b/x"}}
