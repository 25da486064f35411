"""Web servers are read from public addresses only. Names and redirects cannot lead to other addresses."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import PrivateAddressError
from pipeline.storage import web
from pipeline.storage.limited_read import read_limited
from pipeline.storage.limits import ReadLimits
from tests.conftest import ROOT
from tests.web_server import web_server

PUBLIC_ONLY = ReadLimits(connect_seconds=5, total_seconds=30)
PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "198.18.0.1", "192.0.2.1", "192.0.0.192", "192.88.99.1", "168.63.129.16",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:c0a8:101::1",
    "64:ff9b:1::7f00:1", "::127.0.0.1", "::ffff:0:127.0.0.1", "2001:0:7f00:1::1", "5f00::1", "8000::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("host", PRIVATE)
def test_an_address_that_is_not_public_is_private(host: str) -> None:
    assert not web.is_public(host)


@pytest.mark.parametrize("host", PUBLIC)
def test_an_address_of_the_internet_is_public(host: str) -> None:
    assert web.is_public(host)


def read(uri: str) -> bytes:
    return read_limited(uri, PUBLIC_ONLY, time.monotonic() + PUBLIC_ONLY.total_seconds)


@pytest.fixture
def one_public_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.2 be a public address."""
    monkeypatch.setattr(web, "is_public", lambda host: host == "127.0.0.2")


@pytest.mark.usefixtures("one_public_host")
def test_a_redirect_to_a_private_host_is_refused() -> None:
    with web_server("127.0.0.2") as public, web_server() as private:
        assert read(f"{public}/ok") == b"photo"
        assert read(f"{public}/redirect?to={public}/ok") == b"photo"
        localhost = private.replace("127.0.0.1", "localhost")
        for target in (f"{private}/ok", f"{public}/redirect?to={private}/ok", f"{localhost}/ok"):
            with pytest.raises(PrivateAddressError):
                read(f"{public}/redirect?to={target}")


@pytest.mark.usefixtures("one_public_host")
def test_the_address_that_a_name_has_at_the_connection_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers with a public address first, and with a private one later."""
    answers = iter(["127.0.0.2", "127.0.0.1"])
    with web_server("127.0.0.2") as public:
        port = int(public.rpartition(":")[2])

        async def resolve(*_arguments: object, **_options: object) -> list[tuple[object, ...]]:
            return [(2, 1, 6, "", (next(answers), port))]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
        assert read(f"http://photos.example:{port}/ok") == b"photo"
        asyncio.run_coroutine_threadsafe(web.close_sessions(), web_loop()).result()
        with pytest.raises(PrivateAddressError):
            read(f"http://photos.example:{port}/ok")


def web_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop in which files are read."""
    from fsspec.asyn import get_loop

    loop = get_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    return loop


NAMESPACE = """
import json, sys, time
from pipeline.errors import PrivateAddressError
from pipeline.storage.limited_read import read_limited
from pipeline.storage.limits import ReadLimits
from tests.web_server import web_server

def read(uri):
    try:
        return read_limited(uri, ReadLimits(), time.monotonic() + 60).decode()
    except PrivateAddressError as error:
        return error.code

with web_server("8.8.8.8") as public, web_server("127.0.0.1") as private:
    print(json.dumps([read(f"{public}/ok"), read(f"{private}/ok"), read(f"{public}/redirect?to={private}/ok")]))
"""


@pytest.mark.slow
def test_a_public_address_in_a_network_namespace_may_not_redirect_inward(tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text('ip link set lo up && ip address add 8.8.8.8/32 dev lo && exec "$@"')
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs the commands unshare and ip")
    command = ["unshare", "--net", "sh", str(script), sys.executable, "-c", NAMESPACE]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if "Operation not permitted" in result.stderr:
        pytest.skip("needs the permission to create a network namespace")
    assert json.loads(result.stdout) == ["photo", "fetch.private_address", "fetch.private_address"], result.stderr
