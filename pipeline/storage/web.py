"""Read files from web servers, with limits for time and size, and from public hosts only.

A host is public or private by the address that is connected to, which is checked when its socket is created. A redirect
or another answer of the name server can therefore not lead to a private host.
"""

import asyncio
import atexit
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import aiohttp
from fsspec.asyn import get_loop

from pipeline.errors import PrivateAddressError
from pipeline.storage.limits import ReadLimits

MAX_REDIRECTS = 10
CONNECTIONS = 64
CHUNK_BYTES = 2**16
CLOSE_SECONDS = 1
_NOT_FOUND = (404, 410)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_IPV4_BITS = 2**32 - 1
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291: no other IPv6 address belongs to a host of the internet
_NOT_PUBLIC = [
    ipaddress.IPv4Network("192.0.0.0/24"),  # RFC 6890; 192.0.0.192 is the metadata service of Oracle
    ipaddress.IPv4Network("192.88.99.0/24"),  # RFC 7526: former relays to IPv6
    ipaddress.IPv4Network("168.63.129.16/32"),  # the host of a virtual machine on Azure
]

_sessions: dict[bool, aiohttp.ClientSession] = {}  # of this process, by whether private hosts are allowed


async def read_web(uri: str, limits: ReadLimits, most: int) -> bytes:
    """Read the first bytes of a file, one more than `most` at the most. Must be called in the event loop of fsspec.

    Raises:
        FileNotFoundError: The server has no such file.
        PrivateAddressError: The host is not public, or a redirect leads to such a host.
        OSError: The server redirects for ever, or to another scheme, or its answer is not the complete file.
        aiohttp.ClientError: The request failed.
        TimeoutError: The server was silent for too long.
    """
    timeout = aiohttp.ClientTimeout(sock_connect=limits.connect_seconds, sock_read=limits.read_seconds)
    session = _session(private_hosts=limits.private_hosts)
    async with _redirects_reported(), session.get(uri, timeout=timeout, max_redirects=MAX_REDIRECTS) as response:
        if response.status in _NOT_FOUND:
            raise FileNotFoundError(uri)
        response.raise_for_status()
        if response.status != HTTPStatus.OK:  # the content is a part of the file, or of another page
            raise OSError(errno.EINVAL, f"status {response.status} instead of 200")
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(CHUNK_BYTES):
            parts.append(part[: most + 1 - size])
            size += len(parts[-1])
            if size > most:
                break
        return b"".join(parts)


@asynccontextmanager
async def _redirects_reported() -> AsyncIterator[None]:
    """Raise an `OSError` with EINVAL, for which requests are not repeated, if a redirect cannot be followed."""
    try:
        yield
    except aiohttp.TooManyRedirects as error:
        raise OSError(errno.EINVAL, f"more than {MAX_REDIRECTS} redirects") from error
    except (aiohttp.NonHttpUrlRedirectClientError, aiohttp.InvalidUrlRedirectClientError) as error:
        raise OSError(errno.EINVAL, "redirect to an address other than http:// and https://") from error


def is_public(host: str) -> bool:
    """Return whether an IP address is public. An IPv6 address is as public as the IPv4 address that it contains."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        contained = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            contained = ipaddress.IPv4Address(int(address) & _IPV4_BITS)
        if contained is not None:
            return is_public(str(contained))
        return address.is_global and address in _GLOBAL_UNICAST
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC)


def _session(*, private_hosts: bool) -> aiohttp.ClientSession:
    session = _sessions.get(private_hosts)
    if session is None or session.closed:
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS,
            # With this option, addresses are tried one after the other, and the error of the first private one is
            # raised. Otherwise it would be one of several errors.
            happy_eyeballs_delay=None,
            socket_factory=None if private_hosts else _public_socket,
        )
        session = _sessions[private_hosts] = aiohttp.ClientSession(connector=connector)
        if len(_sessions) == 1:
            atexit.register(_close_at_exit)
    return session


def _public_socket(address: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's type of the result of getaddrinfo
    """Create the socket for an address, a tuple as `socket.getaddrinfo` returns it. Raises `PrivateAddressError`."""
    family, kind, protocol, _, (host, *_) = address
    if not is_public(host):
        raise PrivateAddressError(f"{host}: private address (--allow private)")
    return socket.socket(family, kind, protocol)


def _close_at_exit() -> None:
    with suppress(TimeoutError):
        asyncio.run_coroutine_threadsafe(close_sessions(), get_loop()).result(CLOSE_SECONDS)


async def close_sessions() -> None:
    """Close the connections of this process."""
    await asyncio.gather(*(session.close() for session in _sessions.values()))
    _sessions.clear()
