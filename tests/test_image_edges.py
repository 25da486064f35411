"""Each image shows its own photo, for any order of the photos, any batch size, and after an interruption."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import storage
from pipeline.detectors.canny import Canny
from pipeline.errors import RunStoppedError
from pipeline.execution.progress import RunProgress
from pipeline.images.geometry import crop_transform
from pipeline.plan.listing import list_photos
from pipeline.recipes.load import load_recipe
from schemas.detectors import CannySettings
from schemas.options import Options
from tests.edge_metrics import above_chance, edge_f1, edges
from tests.local_run import convert_locally
from tests.records import read_records

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
COUNT = 12
SIDE = 128  # pixels of an image: enough to compare edges
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


class Interruption(RunProgress):
    """Ends the run as soon as a unit is finished."""

    def advance(self, done: int, failed: int) -> None:
        raise RunStoppedError(f"interrupted after {done} images and {failed} failures")


@pytest.fixture(scope="module")
def squares(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of photos of one shape: three squares of each of four photos."""
    folder = tmp_path_factory.mktemp("squares")
    for number in range(COUNT):
        left, top = 60 * (number // 4), 25 * (number // 4)
        photo = Image.open(data / NAMES[number % 4]).convert("RGB")
        photo.crop((left, top, left + 240, top + 240)).save(folder / f"photo{number:02d}.png")
    return folder


def images_of(output: str) -> list[bytes]:
    """Return the image files of an output, in the order of their photos."""
    rows = read_records(output)
    rows.sort(key=lambda row: row["photo_id"])
    assert [row["photo_id"] for row in rows] == [f"photo{number:02d}.png" for number in range(COUNT)]
    return [(Path(output) / row["uri"]).read_bytes() for row in rows]


def edges_of_photo(path: Path) -> np.ndarray:
    """Return the edges of a photo as its ControlNet sees them, [SIDE, SIDE]."""
    with Image.open(path) as photo:
        square = crop_transform(photo.size, (SIDE, SIDE), "crop", np.empty((0, 2)))
        pixels = np.asarray(square.apply(photo.convert("RGB"), Image.Resampling.LANCZOS))
    return Canny(CannySettings())(pixels)[..., 0] > 0


def test_each_image_shows_its_photo_also_when_shuffled_resumed_and_in_other_batches(
    squares: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("demo", [f"area={SIDE * SIDE}", "steps=8", "batch_size=4", 'aspect_ratios=["1:1"]'])
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    convert_locally(str(squares), first, recipe, Options(unit_size=4))
    images = images_of(first)

    expected = [edges_of_photo(squares / f"photo{number:02d}.png") for number in range(COUNT)]
    found = [edges(np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))) for image in images]
    scores = np.array([[edge_f1(image, photo) for photo in expected] for image in found])  # [image, photo]
    assert (scores.argmax(axis=1) == np.arange(COUNT)).all()
    assert above_chance(scores[7, 7], scores[7, 8]) > 0.5  # image 7 does not show photo 8
    assert above_chance(scores[8, 8], scores[8, 7]) > 0.5

    rows: list[dict[str, Any]] = list_photos(str(squares)).to_pylist()
    random.Random(7).shuffle(rows)  # noqa: S311 - not for cryptography
    shuffled, other = str(tmp_path / "shuffled.parquet"), recipe.model_copy(update={"batch_size": 3})
    storage.put_table(shuffled, pa.Table.from_pylist(rows))
    with pytest.raises(RunStoppedError, match="interrupted after"):
        convert_locally(shuffled, second, other, Options(unit_size=3), Interruption())
    resumed = convert_locally(shuffled, second, other, Options(unit_size=3))
    assert (resumed.earlier, resumed.converted) == (3, COUNT - 3)
    assert images_of(second) == images
