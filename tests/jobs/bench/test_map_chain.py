"""The chain from a photo to its canny map: its baseline does the same work."""

from pathlib import Path

from PIL import Image

from jobs.bench import map_chain
from pipeline.steps.canvas import as_pixels


def test_baseline_gives_the_map_of_the_chain(tmp_path: Path) -> None:
    map_chain.write_photo(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as image:
        assert image.size[0] * image.size[1] == 12_000_000
    (row,) = map_chain._chain(tmp_path / "photo.jpg")().to_pylist()
    digest, edges = map_chain.library_calls(tmp_path / "photo.jpg")
    assert row["failure"] is None
    assert row["transform"]["shrink"] == map_chain.SHRINK
    assert row["source_sha256"] == digest
    assert (row["width"], row["height"]) == map_chain.TARGET
    canny = as_pixels(row, row["maps"][0]["pixels"])
    assert (canny != edges).mean() < 0.01  # the crop of the baseline is rounded to a tenth of a pixel
