"""A proxy before a storage server that answers some requests with errors, resets and stalls, chosen by a seed."""

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from pipeline.storage.requests import REQUEST_SECONDS

FAULTS = ("500", "503", "reset", "half", "stall", "silence")
STALL_SECONDS = REQUEST_SECONDS + 15  # longer than a client waits
_LONG = ("stall", "silence")
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_INTERNAL = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>Try again.</Message></Error>"


class FaultyServer(ThreadingHTTPServer):
    """Passes requests on to another server, and disturbs a share of them.

    Attributes:
        faults: How often each fault was injected.
    """

    daemon_threads = True

    def __init__(self, target: tuple[str, int], share: float, seed: int, stalls: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self._share = target, share
        self.faults = Counter[str]()
        self.stopped = threading.Event()
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._lock = threading.Lock()
        self._stalls = stalls

    def next_fault(self) -> str | None:
        """Return the fault of the next request, or None. Only some requests stall, because each takes long."""
        with self._lock:
            if self._random.random() >= self._share:
                return None
            fault = self._random.choice(FAULTS)
            if fault in _LONG:
                if self._stalls <= 0:
                    fault = "reset"
                self._stalls -= 1
            self.faults[fault] += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer
    methods: ClassVar = ("GET", "PUT", "POST", "HEAD", "DELETE")

    def __getattr__(self, name: str) -> object:
        if name in {f"do_{method}" for method in self.methods}:
            return self._pass_on
        raise AttributeError(name)

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""

    def _pass_on(self) -> None:
        fault = self.server.next_fault()
        if fault == "silence":  # before the client sends the content of an object, for which it awaits `100 Continue`
            self.server.stopped.wait(STALL_SECONDS)
            self._reset()
            return
        content = self._read_content()
        if fault in {"500", "503"}:
            self._answer(int(fault), [], _SLOW_DOWN if fault == "503" else _INTERNAL)
        elif fault == "reset":
            self._reset()
        else:
            with suppress(OSError, HTTPException):
                self._forward(content, fault)

    def _read_content(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(iter(self._read_chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _read_chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _forward(self, content: bytes, fault: str | None) -> None:
        connection = HTTPConnection(*self.server.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection.request(self.command, self.path, content, headers)
        response = connection.getresponse()
        body = response.read()
        if fault == "stall":
            self.server.stopped.wait(STALL_SECONDS)
        if fault == "half":
            self._answer_half(response, body)
        else:
            self._answer(response.status, response.getheaders(), body)
        connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer_half(self, response: HTTPResponse, body: bytes) -> None:
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + 1))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self._reset()

    def _reset(self) -> None:
        """Close the connection with a reset instead of an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


@contextmanager
def faulty_server(host: str, port: int, seed: int, share: float = 0.05, stalls: int = 2) -> Iterator[FaultyServer]:
    """Serve a proxy of a server on a free port.

    Args:
        host: The host of the server.
        port: The port of the server.
        seed: Chooses the disturbed requests.
        share: The share of the requests that is disturbed.
        stalls: The largest number of requests that stall.
    """
    server = FaultyServer((host, port), share, seed, stalls)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
