"""The chain of a large photo: the library calls beside it do the same thing."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.bench import map_chain
from pipeline.steps.canvas import as_pixels


def test_the_bare_calls_come_to_the_chains_map(tmp_path: Path) -> None:
    map_chain.write_photo(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as image:
        assert image.size[0] * image.size[1] == 12_000_000
    chain = map_chain._chain(tmp_path / "photo.jpg")()
    (row,) = chain.to_pylist()  # type: ignore[attr-defined]  # a table
    digest, edges = map_chain.library_calls(tmp_path / "photo.jpg")  # type: ignore[misc]  # a pair
    assert row["failure"] is None
    assert row["transform"]["shrink"] == map_chain.SHRINK
    assert row["source_sha256"] == digest
    assert (row["width"], row["height"]) == map_chain.TARGET
    found = as_pixels(row, row["maps"][0]["pixels"])
    assert (found != edges).mean() < 0.01  # the box of the bare call is rounded to a tenth of a pixel


def test_rows_have_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(path: Path) -> None:
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save(buffer, "jpeg")
        path.write_bytes(buffer.getvalue())

    monkeypatch.setattr(map_chain, "write_photo", small)
    monkeypatch.setattr(map_chain, "SIZE", (400, 300))
    monkeypatch.setattr(map_chain, "BOX", (0, 0, 400, 300))
    monkeypatch.setattr(map_chain, "SHRINK", 1)
    of_calls, of_pillow = map_chain.chain_rows(rounds=1)
    assert (of_calls.at_most, of_pillow.at_least) == (1.15, 2.0)
