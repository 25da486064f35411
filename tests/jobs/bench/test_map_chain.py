"""The benchmark from a photo to its canny map: steps and library calls give almost the same map."""

from pathlib import Path

import pytest
from PIL import Image

from jobs.bench import map_chain
from pipeline.steps.canvas import map_pixels
from pipeline.steps.row_step import table_to_rows
from schemas.work import Mapped


@pytest.mark.slow
def test_chain_and_library_calls_return_the_same_map(tmp_path: Path) -> None:
    map_chain.write_photo(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as image:
        assert image.size[0] * image.size[1] == 12_000_000
    (row,) = table_to_rows(map_chain._chain(tmp_path / "photo.jpg")(), Mapped)
    digest, edges = map_chain.library_calls(tmp_path / "photo.jpg")
    assert isinstance(row, Mapped)
    assert row.canvas.transform.shrink == map_chain.SHRINK
    assert row.source.sha256 == digest
    assert (row.canvas.width, row.canvas.height) == map_chain.TARGET
    # The crop box of the library calls is rounded to a tenth of a pixel, which changes a few edges.
    assert (map_pixels(row.maps[0]) != edges).mean() < 0.01
