"""The fetch step reads all photos of a slow server."""

import urllib.request

from jobs.bench.fetch import CONTENT, measure_fetch, slow_server


def test_the_server_answers_every_request() -> None:
    with slow_server(0.0) as address, urllib.request.urlopen(f"{address}/a.jpg") as answer:  # noqa: S310 - loopback
        assert answer.read() == CONTENT


def test_all_photos_are_fetched() -> None:
    assert measure_fetch(5, 0.0) > 0  # raises an error if a photo is not fetched
