"""An emulator of the JSON API of Google Cloud Storage: what gcsfs needs to list, read, write and delete objects."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)/o/(.+)")
_OBJECTS = re.compile(r"/(?:upload/)?storage/v1/b/([^/]+)/o")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class GcsServer(ThreadingHTTPServer):
    """Holds the objects of all buckets in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[tuple[str, str], tuple[bytes, int]] = {}  # content and generation
        self.lock = threading.Lock()
        self._generation = 0

    def write(self, bucket: str, name: str, content: bytes, *, only_new: bool) -> dict[str, Any] | None:
        """Write an object. Returns its resource, or None if it exists and only a new one may be written."""
        with self.lock:
            if only_new and (bucket, name) in self.objects:
                return None
            self._generation += 1
            self.objects[bucket, name] = content, self._generation
            return self.resource(bucket, name)

    def resource(self, bucket: str, name: str) -> dict[str, Any]:
        """Return the resource of an object."""
        content, generation = self.objects[bucket, name]
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        return {
            "kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(content)), "md5Hash": digest,
            "generation": str(generation), "etag": str(generation), "updated": "2026-01-01T00:00:00.000Z",
            "timeCreated": "2026-01-01T00:00:00.000Z", "contentType": "application/octet-stream",
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GcsServer

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """List objects, or return an object or its resource."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        found = _OBJECT.fullmatch(url.path)
        if found is None:
            listed = _OBJECTS.fullmatch(url.path)
            self._answer(200, self._list(unquote(listed[1]), query) if listed else {"kind": "storage#bucket"})
            return
        key = unquote(found[1]), unquote(found[2])
        with self.server.lock:
            if key not in self.server.objects:
                self._answer(404, {"error": {"code": 404, "message": "No such object"}})
                return
            content, resource = self.server.objects[key][0], self.server.resource(*key)
        if query.get("alt") == "media":
            self._answer_content(content)
        else:
            self._answer(200, resource)

    def do_POST(self) -> None:
        """Write an object with one request of two parts: its resource and its content."""
        url, body = urlsplit(self.path), self.rfile.read(int(self.headers["Content-Length"]))
        bucket = _OBJECTS.fullmatch(url.path)
        head, _, rest = body.partition(b"\n\n")[2].partition(b"\n--==0==")
        content = rest.partition(b"\n\n")[2].removesuffix(b"\n--==0==--")
        only_new = "ifGenerationMatch=0" in url.query
        name = json.loads(head)["name"]
        resource = self.server.write(unquote(bucket[1]) if bucket else "", name, content, only_new=only_new)
        if resource is None:
            self._answer(412, {"error": {"code": 412, "message": "conditionNotMet"}})
        else:
            self._answer(200, resource)

    def do_DELETE(self) -> None:
        """Delete an object."""
        found = _OBJECT.fullmatch(urlsplit(self.path).path)
        with self.server.lock:
            removed = found and self.server.objects.pop((unquote(found[1]), unquote(found[2])), None)
        self._answer(204 if removed else 404, {} if removed else {"error": {"code": 404, "message": "No such object"}})

    def _list(self, bucket: str, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        items, prefixes = [], set[str]()
        with self.server.lock:
            for owner, name in sorted(self.server.objects):
                rest = name.removeprefix(prefix)
                if owner != bucket or not name.startswith(prefix) or name < query.get("startOffset", ""):
                    continue
                if delimiter and delimiter in rest:
                    prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
                else:
                    items.append(self.server.resource(owner, name))
        return {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)}

    def _answer_content(self, content: bytes) -> None:
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        start, end = (int(wanted[1]), int(wanted[2] or len(content))) if wanted else (0, len(content))
        if wanted and start >= len(content):
            self._answer(416, {"error": {"code": 416, "message": "The requested range cannot be satisfied."}})
            return
        self._send(206 if wanted else 200, content[start : end + 1], "application/octet-stream")

    def _answer(self, status: int, resource: dict[str, Any]) -> None:
        self._send(status, b"" if status == 204 else json.dumps(resource).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def gcs_server() -> Iterator[int]:
    """Serve the emulator on a free port of this machine; return the port."""
    server = GcsServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
