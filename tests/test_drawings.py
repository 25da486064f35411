"""The whole way with the demo model: each drawing is of its own photo, whatever happens to the run."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from jobs.demo_model import metrics
from pipeline import storage
from pipeline.detectors.canny import Canny
from pipeline.errors import RunStoppedError
from pipeline.execution.progress import RunProgress
from pipeline.images.geometry import crop_transform
from pipeline.output import provenance
from pipeline.plan.manifest import list_photos
from pipeline.recipes.load import load_recipe
from pipeline.run import convert
from schemas.detectors import CannySettings
from schemas.options import Options

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(240)]
COUNT = 12
SIDE = 128  # of the drawings: large enough for edges to be compared
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


class Impatient(RunProgress):
    """A follower that ends the run when the first pictures are done."""

    def advance(self, done: int, failed: int) -> None:
        message = f"ended with {done} done and {failed} failed"
        raise RunStoppedError(message)


@pytest.fixture(scope="module")
def squares(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of photos of one shape: three squares of each of four photos."""
    folder = tmp_path_factory.mktemp("squares")
    for number in range(COUNT):
        left, top = 60 * (number // 4), 25 * (number // 4)
        whole = Image.open(data / NAMES[number % 4]).convert("RGB")
        whole.crop((left, top, left + 240, top + 240)).save(folder / f"photo{number:02d}.png")
    return folder


def drawn(output: str) -> list[bytes]:
    """Return the pictures of an output, in the order of their photos."""
    rows = provenance.read_records(output, provenance.done_units(output)).to_pylist()
    assert [row["photo_id"] for row in sorted(rows, key=lambda row: row["photo_id"])] == [
        f"photo{number:02d}.png" for number in range(COUNT)
    ]
    return [(Path(output) / row["uri"]).read_bytes() for row in sorted(rows, key=lambda row: row["photo_id"])]


def edges_of_photo(path: Path) -> np.ndarray:
    """Return the edges of a photo as the nets should see them, [SIDE, SIDE]."""
    with Image.open(path) as photo:
        square = crop_transform(photo.size, (SIDE, SIDE), "crop", np.empty((0, 2)))
        pixels = np.asarray(square.apply(photo.convert("RGB"), Image.Resampling.LANCZOS))
    return Canny(CannySettings())(pixels)[..., 0] > 0


def test_each_drawing_follows_its_own_photo_after_a_shuffle_a_restart_and_in_other_batches(
    squares: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("demo", [f"area={SIDE * SIDE}", "steps=8", "batch_size=4", 'aspect_ratios=["1:1"]'])
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    convert(str(squares), first, recipe, Options(unit_size=4))
    pictures = drawn(first)

    asked = [edges_of_photo(squares / f"photo{number:02d}.png") for number in range(COUNT)]
    edges = [metrics.edges(np.asarray(Image.open(io.BytesIO(each)).convert("RGB"))) for each in pictures]
    scores = np.array([[metrics.edge_f1(each, other) for other in asked] for each in edges])  # [drawing, photo]
    assert (scores.argmax(axis=1) == np.arange(COUNT)).all()
    assert metrics.over_chance(scores[7, 7], scores[7, 8]) > 0.5  # photo 7's drawing is not of photo 8
    assert metrics.over_chance(scores[8, 8], scores[8, 7]) > 0.5

    rows: list[dict[str, Any]] = list_photos(str(squares)).to_pylist()
    random.Random(7).shuffle(rows)  # noqa: S311 - an order
    shuffled, other = str(tmp_path / "shuffled.parquet"), recipe.model_copy(update={"batch_size": 3})
    storage.put_table(shuffled, pa.Table.from_pylist(rows))
    with pytest.raises(RunStoppedError, match="ended with"):
        convert(shuffled, second, other, Options(unit_size=3), Impatient())
    resumed = convert(shuffled, second, other, Options(unit_size=3, gpus=0))
    assert min(resumed.earlier, resumed.converted) >= 1
    assert resumed.earlier + resumed.converted == COUNT
    assert drawn(second) == pictures
