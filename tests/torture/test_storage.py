"""A storage server answers with errors, resets and stalls while photos are read and images are written."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.torture.gcs_server import gcs_server
from tests.torture.lines import LONG, Line, line, long_only, tries
from tests.torture.program import POLL_SECONDS, Expected, Program
from tests.torture.proxy import FaultyServer, faulty_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """Serve S3 with moto in another process; return its host and its port."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    yield host, port
    moto.stop()


def credentials(host: str, port: int) -> dict[str, str]:
    """Return the environment variables of clients of S3."""
    return {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip


def program_of(expected: Expected, root: str, environment: dict[str, str]) -> Program:
    """Return the command that converts the photos of a bucket into the bucket."""
    return Program(expected, f"{root}/out", f"{root}/manifest.parquet", ("--map-cache", f"{root}/cache"), environment)


def disturb(program: Program, environment: dict[str, str], log: Path, added: Line, proxy: FaultyServer) -> None:
    """Run a program whose requests pass through a proxy until it succeeds."""
    replace(program, environment=environment).finish(added, log)
    added.tries += sum(proxy.faults.values())
    added.note = ", ".join(f"{count} {name}" for name, count in sorted(proxy.faults.items()))


def test_s3_with_faults(maps: Expected, server: tuple[str, int], tmp_path: Path) -> None:
    with line("S3 with 5 % of 500, 503, resets and stalls") as added:
        for number in range(tries(4, 1)):
            root = f"s3://torture-{number}/run"
            undisturbed = program_of(maps, root, credentials(*server))
            undisturbed.call("upload_photos", str(maps.photos), root, f"s3://torture-{number}")
            with faulty_server(*server, number, stalls=tries(1, 0)) as proxy:  # each takes a minute
                disturb(undisturbed, credentials("127.0.0.1", proxy.server_port), tmp_path / "log", added, proxy)


@pytest.fixture
def azurite(tmp_path: Path) -> Iterator[int]:
    """Install Azurite, an emulator of Azure's blob storage, and start it; return its port."""
    if not LONG or shutil.which("npm") is None:
        pytest.skip("part of `make torture` only, and needs npm")
    folder = ROOT / ".venv" / "azurite"
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "azurite"]
    subprocess.run(install, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(folder / "node_modules" / ".bin" / "azurite-blob"), "--blobPort", str(port), "--silent",
        "--skipApiVersionCheck", "--disableTelemetry", "--location", str(tmp_path),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(POLL_SECONDS)
        yield port
    finally:
        process.kill()
        process.wait()


def azure(port: int) -> dict[str, str]:
    """Return the environment variables of clients of Azurite, with its published key."""
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    account = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};"
    return {
        "AZURE_STORAGE_CONNECTION_STRING": f"{account}BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;",
        "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
    }


def test_azure_with_faults(maps: Expected, azurite: int, tmp_path: Path) -> None:
    with line("Azure with 5 % of 500, 503, resets and stalls") as added:
        for number in range(tries(2, 1)):
            root = f"az://torture-{number}/run"
            undisturbed = program_of(maps, root, azure(azurite))
            undisturbed.call("upload_photos", str(maps.photos), root, f"az://torture-{number}")
            with faulty_server("127.0.0.1", azurite, number, stalls=1) as proxy:
                disturb(undisturbed, azure(proxy.server_port), tmp_path / "log", added, proxy)


@long_only
def test_google_cloud_storage(maps: Expected, tmp_path: Path) -> None:
    with line("Google Cloud Storage, undisturbed") as added, gcs_server() as port:
        environment = {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "FSSPEC_GS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }  # fmt: skip
        program = program_of(maps, "gs://torture/run", environment)
        program.call("upload_photos", str(maps.photos), "gs://torture/run")
        program.finish(added, tmp_path / "log")
        added.tries = 1
