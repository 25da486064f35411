"""Measure the fetch step with a server on this machine that answers late."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

CONTENT = b"a photo"


@contextmanager
def slow_server(latency: float) -> Iterator[str]:
    """Serve a file on a free port of this machine, `latency` seconds after each request. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(latency)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_arguments: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # with the default of 5, some of many clients would connect again after a second

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measure_fetch(photos: int, latency: float) -> float:
    """Return the seconds in which the fetch step of a run reads photos that are `latency` seconds away."""
    from pipeline.plan.plan import plan_photos
    from pipeline.recipes.load import load_recipe
    from pipeline.steps.chain import fetch_step
    from pipeline.steps.row_step import table_to_rows
    from pipeline.storage.limits import Access, ReadLimits
    from schemas.work import Failed, Fetched

    recipe = load_recipe("demo")
    step = fetch_step(Access(frozenset({"http"}), ReadLimits(private_hosts=True)))
    with slow_server(latency) as address:
        table = plan_photos([f"{address}/{number}.jpg" for number in range(photos)], recipe)
        step(table.slice(0, 1))  # imports the library
        begin = time.perf_counter()
        rows = table_to_rows(step(table), Fetched)
        seconds = time.perf_counter() - begin
    failed = [row.failure.message for row in rows if isinstance(row, Failed)]
    if failed:
        raise RuntimeError(failed[0])
    return seconds
