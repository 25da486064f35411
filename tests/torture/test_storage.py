"""A storage server answers with errors, resets and stalls while photos are read and images are written."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.plan.listing import list_photos
from tests.torture.lines import line, tries
from tests.torture.program import Expected, Program
from tests.torture.proxy import faulty_server

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


def test_s3_with_faults(maps: Expected, server: tuple[str, int], tmp_path: Path) -> None:
    import fsspec

    os.environ |= credentials(*server)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("torture")
    for photo in maps.photos.iterdir():
        storage.put(f"s3://torture/in/{photo.name}", photo.read_bytes())
    storage.put_table("s3://torture/manifest.parquet", list_photos("s3://torture/in"))
    with line("S3 with 5 % of 500, 503, resets and stalls") as added:
        for seed in range(tries(4, 1)):
            output = f"s3://torture/out-{seed}"
            with faulty_server(*server, seed, stalls=tries(2, 0)) as proxy:  # each takes long
                program = Program(
                    maps,
                    output,
                    "s3://torture/manifest.parquet",
                    ("--map-cache", f"s3://torture/cache-{seed}"),
                    credentials("127.0.0.1", proxy.server_port),
                )
                program.finish(added, tmp_path / "log")
                added.tries += sum(proxy.faults.values())
                added.note = ", ".join(f"{count} {name}" for name, count in sorted(proxy.faults.items()))
