"""A web server on a loopback address whose answers are slow, endless, compressed or redirected."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MIB = 2**20
BOMB = gzip.compress(bytes(256 * MIB), 9)  # a quarter of a megabyte


class Answers(BaseHTTPRequestHandler):
    """Answers requests by their path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request. Ignores the error of a client that closed the connection."""
        with suppress(OSError):
            getattr(self, urlsplit(self.path).path.strip("/").partition("/")[0], self.missing)()

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""

    def ok(self) -> None:
        """Send five bytes."""
        self._send(b"photo")

    def empty(self) -> None:
        """Send an empty file."""
        self._send(b"")

    def missing(self) -> None:
        """Send the status 404."""
        self._send(b"", 404)

    def broken(self) -> None:
        """Send the status 503."""
        self._send(b"", 503)

    def silent(self) -> None:
        """Send nothing until the server stops."""
        self.server.stopped.wait()  # type: ignore[attr-defined]

    def drip(self) -> None:
        """Send a byte every tenth of a second until the server stops."""
        self._start(10 * MIB)
        while not self.server.stopped.wait(0.1):  # type: ignore[attr-defined]
            self.wfile.write(b"x")

    def endless(self) -> None:
        """Send bytes without an end, and without their number."""
        self.send_response(200)
        self.end_headers()
        while not self.server.stopped.is_set():  # type: ignore[attr-defined]
            self.wfile.write(bytes(MIB))

    def bomb(self) -> None:
        """Send 256 MiB of zeros that are compressed."""
        self._send(BOMB, 200, {"Content-Encoding": "gzip"})

    def redirect(self) -> None:
        """Redirect to the address in the query."""
        self._send(b"", 302, {"Location": parse_qs(urlsplit(self.path).query)["to"][0]})

    def status(self) -> None:
        """Send five bytes with the status that the path names."""
        status = int(self.path.rpartition("/")[2])
        self._send(b"" if status in {204, 304} else b"photo", status)

    def loop(self) -> None:
        """Redirect to the same address."""
        self._send(b"", 302, {"Location": "/loop"})

    def _start(self, length: int, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._start(len(content), status, headers)
        self.wfile.write(content)


@contextmanager
def web_server(host: str = "127.0.0.1") -> Iterator[str]:
    """Serve `Answers` on a free port; return the address of the server."""
    server = ThreadingHTTPServer((host, 0), Answers)
    server.daemon_threads = True
    server.stopped = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.stopped.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
