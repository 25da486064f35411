"""Variants of photos with labels and control maps of the manifest, run in this process."""

from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pipeline import storage
from pipeline.errors import OutputError
from pipeline.output.verify import verify
from pipeline.run import Summary
from schemas.options import Options
from schemas.recipe import Recipe
from tests.local_run import convert_locally
from tests.records import read_records

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def labelled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a manifest of two photos with every kind of label; one of the photos is rotated by its EXIF tag."""
    folder = tmp_path_factory.mktemp("labelled")
    photo = Image.open(data / "coffee.png").convert("RGB").resize((160, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(folder / "upright.jpg")
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif)
    mask = Image.new("L", (160, 120))
    mask.paste(5, (40, 30, 120, 90))
    mask.save(folder / "mask.png")
    Image.linear_gradient("L").resize((160, 120)).save(folder / "depth.png")
    nose = [0.0] * 51
    nose[:3] = [80.0, 60.0, 2.0]
    row = {
        "depth_uri": "depth.png", "mask_uri": "mask.png", "pose_keypoints": [nose], "keypoints": [[80.0, 60.0, 2.0]],
        "boxes": [{"x": 40.0, "y": 30.0, "w": 80.0, "h": 60.0, "category": "cup"}],
    }  # fmt: skip
    rows = [{"photo_id": name, "uri": f"{name}.jpg", **row} for name in ("upright", "turned")]
    storage.put_table(str(folder / "manifest.parquet"), pa.Table.from_pylist(rows))
    return folder


@pytest.fixture(scope="module")
def variants(labelled: Path, recipe: Recipe) -> Summary:
    """Convert three variants of each labelled photo with a cache of control maps."""
    chosen = recipe.model_copy(update={"fit": "pad"})
    options = Options(variants=3, map_cache=str(labelled / "cache"))
    return convert_locally(str(labelled / "manifest.parquet"), str(labelled / "out"), chosen, options)


def test_labels_and_given_maps_are_transformed_for_every_variant(variants: Summary) -> None:
    assert (variants.converted, variants.failed) == (6, 0)
    assert verify(variants.output).valid
    for row in read_records(variants.output):
        assert [control["origin"] for control in row["controls"]] == ["detected", "manifest", "manifest"]
        assert row["controls"][2]["source_uri"].endswith("/depth.png")
        (box,), (width, height) = row["labels"]["boxes"], (row["width"], row["height"])
        assert [box["x"], box["y"], box["w"], box["h"]] == pytest.approx([width / 4, height / 4, width / 2, height / 2])
        assert row["labels"]["keypoints"][0]["points"] == pytest.approx([width / 2, height / 2, 2])
        with Image.open(Path(variants.output) / row["uri"]) as image:
            assert image.size == (width, height)
            assert image.size in {(64, 48), (128, 96)}  # without the padding
        with Image.open(Path(variants.output) / row["label_mask_uri"]) as mask:
            assert mask.size == (width, height)
            assert mask.getbbox() == pytest.approx((width // 4, height // 4, 3 * width // 4, 3 * height // 4), abs=1)


def test_variants_share_the_control_maps_of_their_photo(variants: Summary) -> None:
    assert (variants.maps_detected, variants.maps_cached) == (2, 4)  # of canny; the others are in the manifest
    assert "67 % hits" in (Path(variants.output) / "report" / "index.html").read_text()


def test_mode_maps_writes_control_maps_only_and_uses_the_cache(
    labelled: Path, variants: Summary, recipe: Recipe
) -> None:
    assert variants.maps_detected
    manifest, output = str(labelled / "manifest.parquet"), str(labelled / "maps")
    maps_only = recipe.model_copy(update={"fit": "pad", "mode": "maps"})
    summary = convert_locally(manifest, output, maps_only, Options(map_cache=str(labelled / "cache")))
    assert (summary.converted, summary.maps_detected, summary.maps_cached) == (2, 0, 2)
    assert verify(output).valid
    assert len(list(Path(output).glob("maps/*/*.png"))) == 6
    assert not (Path(output) / "images").exists()
    assert [row["status"] for row in read_records(output)] == ["done", "done"]
    again = convert_locally(manifest, output, maps_only)
    assert (again.converted, again.earlier) == (0, 2)
    with pytest.raises(OutputError, match="mode"):
        convert_locally(manifest, output, recipe.model_copy(update={"fit": "pad"}))
