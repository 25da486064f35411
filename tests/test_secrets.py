"""Secrets are planted in every place of a run, and no byte that it writes or prints contains one of them."""

import base64
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.logging_setup import configure_logging
from pipeline.errors import RunError
from pipeline.output.verify import verify
from schemas.detectors import CannySettings
from schemas.options import Options
from tests.conftest import ROOT, recipe_of
from tests.local_run import convert_locally

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
RECIPE = recipe_of(CannySettings(), mode="maps")
CLOSED = "127.0.0.1:9"  # a port on which nothing listens
ADDRESSES = [
    "https://user:{}@" + CLOSED + "/a.jpg",
    "https://{}@" + CLOSED + "/a.jpg",
    "https://user:pa/{}@" + CLOSED + "/a.jpg",
    "https://user:p@ss{}@" + CLOSED + "/a.jpg",
    "https://user:p?a#{}@" + CLOSED + "/a.jpg",
    "https://user:{} with spaces@" + CLOSED + "/a.jpg",
    "https://" + CLOSED + "/a.jpg?sig={}",
    "https://" + CLOSED + "/a.jpg?a=1&X-Amz-Signature={}",
    "https://" + CLOSED + '/a.jpg?a="b&sig={}',
    "https://" + CLOSED + "/a.jpg?a='b&sig={}",
    "https://" + CLOSED + "/a.jpg?a=b c&sig={}",
    "https://" + CLOSED + "/a.jpg?{}",
    "https://" + CLOSED + "/a.jpg#{}",
    "https://" + CLOSED + "/a.jpg?sig=%22{}",
    "HTTPS://user:{}@" + CLOSED + "/a.jpg",
    "http://[::1:{}@bad/a.jpg",
    "http://user:{}@[bad/a.jpg",
    "http:/user:{}@" + CLOSED + "/a.jpg",
    "http:///user:{}@" + CLOSED + "/a.jpg",
    "//user:{}@" + CLOSED + "/a.jpg",
    "user:{}@" + CLOSED + "/a.jpg",
    "s3://KEY:{}@bucket/a.jpg",
    "s3://KEY:pa/{}@bucket/a.jpg",
    "s3://{}:password@bucket/a.jpg",
    "s3://KEY:{}@bucket/a b'c\".jpg",
    "s3://bucket/a.jpg?X-Amz-Security-Token={}",
    "webdav://user:{}@" + CLOSED + "/a.jpg",
    "memory://user:{}@bucket/a.jpg",
    "ftp://user:{}@" + CLOSED + "/a.jpg",
    "unknown://user:{}@host/a.jpg",
    "https://" + CLOSED + "/a.jpg;sig={}",
    "https://" + CLOSED + "/a.jpg%3Fsig%3D{}",
    "ftp://{}@" + CLOSED + "/a.jpg",
    "simplecache::https://user:{}@" + CLOSED + "/a.jpg",
    "zip://a.jpg::s3://KEY:{}@bucket/a.zip",
]  # fmt: skip
OTHER_COLUMNS = [
    "see https://user:{}@host/x",
    "s3://K:{}@b/x",
    "token={}",
    "user:{}@host",
    "AccountKey={};Name=a",
    "client_secret={}",
    "aws_secret_access_key={}",
    "hf_{}Abcdefgh",
]
VARIABLES = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "MY_PASSWORD", "AZURE_STORAGE_ACCOUNT_KEY"]


class Secrets:
    """Makes secrets, and finds them in texts in all forms in which they could be written."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def new(self) -> str:
        """Return a new secret."""
        self.values.append(f"Zq7x{len(self.values):02d}Vw9k")
        return self.values[-1]

    def found_in(self, content: bytes) -> list[str]:
        """Return the secrets that some bytes contain."""
        return [value for value in self.values if any(form in content for form in self._forms(value))]

    @staticmethod
    def _forms(value: str) -> Iterator[bytes]:
        yield value.encode()
        yield quote(value).encode()
        yield value.encode("utf-16-le")
        for shift in ("", "a", "ab"):  # the three alignments of base64
            encoded = base64.b64encode(f"{shift}{value}".encode()).decode()
            yield encoded[4:12].encode()


def write_rows(folder: Path, secrets: Secrets) -> str:
    """Write a manifest with a secret in each address of a row and in other columns. Returns its path."""
    photo = folder / "ok.png"
    Image.new("RGB", (64, 64)).save(photo)
    rows: list[dict[str, str]] = []
    for address in ADDRESSES:
        rows.append({"uri": address.format(secrets.new())})
        rows.append({"uri": str(photo), "mask_uri": address.format(secrets.new())})
        rows.append({"uri": str(photo), "canny_uri": address.format(secrets.new())})
    rows += [{"uri": str(photo), "note": text.format(secrets.new())} for text in OTHER_COLUMNS]
    names = ("uri", "mask_uri", "canny_uri", "note")
    table = {name: [row.get(name) for row in rows] for name in names}
    path = folder / "manifest.parquet"
    pq.write_table(pa.table({"photo_id": [f"p{number}" for number in range(len(rows))], **table}), path)
    return str(path)


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every file, and the values of Parquet files, which are compressed."""
    for path in sorted(folder.rglob("*")):
        yield str(path), str(path.relative_to(folder)).encode()
        if path.is_file():
            yield str(path), path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield str(path), repr((table.to_pylist(), table.schema.metadata)).encode()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """Return secrets, of which some are in the environment."""
    secrets = Secrets()
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{secrets.new()}-{name}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{secrets.new()}@{CLOSED}")
    return secrets


@pytest.mark.usefixtures("bucket")
def test_no_secret_of_a_manifest_or_of_the_environment_gets_out(tmp_path: Path, secrets: Secrets) -> None:
    manifest, output, printed = write_rows(tmp_path, secrets), tmp_path / "out", io.StringIO()
    allow = frozenset({"private", "ftp", "unknown", "memory", "webdav", "data", "user", "HTTPS"})
    with redirect_stdout(printed), redirect_stderr(printed):
        configure_logging("debug", "json", quiet=False)
        summary = convert_locally(
            manifest, str(output), RECIPE, Options(allow=allow, fetch_timeout=20, connect_timeout=1, unit_size=8)
        )
        configure_logging("info", "text", quiet=False)
    assert len(secrets.values) > 100
    assert summary.failed >= 3 * len(ADDRESSES) - 5
    assert verify(str(output)).valid
    found = {name: secrets.found_in(content) for name, content in contents(output)}
    assert {name: values for name, values in found.items() if values} == {}
    assert secrets.found_in(printed.getvalue().encode()) == []
    logging.getLogger("photo2anime").setLevel(logging.NOTSET)


@pytest.mark.parametrize("photo_id", ["https://user:{}@host/a.jpg", "s3://b/a.jpg?sig={}", "//user:{}@host/a.jpg"])
def test_an_id_with_a_secret_is_refused_without_quoting_it(tmp_path: Path, secrets: Secrets, photo_id: str) -> None:
    path = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"photo_id": [photo_id.format(secrets.new())], "uri": ["/none.jpg"]}), path)
    with pytest.raises(RunError) as caught:
        convert_locally(str(path), str(tmp_path / "out"), RECIPE)
    assert caught.value.code == "manifest.secret_id"
    assert secrets.found_in(str(caught.value).encode()) == []
    assert not (tmp_path / "out").exists()


COMMANDS = {
    "output": ["convert", "{photos}", "--output", "s3://KEY:{secret}@none/out", "--recipe", "demo"],
    "manifest": ["convert", "https://user:{secret}@127.0.0.1:9/m.parquet", "--output", "{out}", "--recipe", "demo"],
    "recipe": ["convert", "{photos}", "--output", "{out}", "--recipe", "https://user:{secret}@127.0.0.1:9/r.yaml"],
    "setting": ["convert", "{photos}", "--output", "{out}", "--recipe", "demo", "--set",
                "base.name=https://user:{secret}@127.0.0.1:9/m"],
    "cache": ["maps", "{photos}", "--output", "{out}", "--recipe", "demo", "--map-cache", "s3://K:{secret}@none/c"],
    "preview": ["preview", "https://user:{secret}@127.0.0.1:9/a.jpg", "--recipe", "demo", "-o", "{out}.png"],
}  # fmt: skip


@pytest.mark.parametrize("place", COMMANDS)
@pytest.mark.usefixtures("bucket")
def test_no_secret_of_a_command_line_is_printed(tmp_path: Path, secrets: Secrets, place: str) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "photos" / "a.png")
    values = {"secret": secrets.new(), "photos": tmp_path / "photos", "out": tmp_path / "out"}
    arguments = [part.format(**values) for part in COMMANDS[place]]
    program = [sys.executable, "-c", "from jobs.app import main; main()", *arguments]
    result = subprocess.run(program, cwd=ROOT, capture_output=True, check=False)
    assert result.returncode in {2, 3}, result.stderr.decode()
    assert secrets.found_in(result.stdout + result.stderr) == []
    assert b"Traceback" not in result.stderr
