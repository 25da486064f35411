"""A 12-megapixel JPEG from its file to its canny map: our steps, their bare library calls, and Pillow's plain way."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from jobs.bench.timing import TimedRow, side_by_side
from pipeline.recipes.load import load_recipe
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import Geometry, decode
from pipeline.steps.fetch import fetch
from pipeline.steps.row_step import RowStep
from schemas.work import DECODED, FETCHED, PLAN

SIZE = (4000, 3000)
SHRINK, BOX = 4, (71.4, 0.0, 3928.6, 3000.0)  # what the geometry makes of SIZE for TARGET
TARGET = (576, 448)
MOST_OF_CALLS, LEAST_OF_PILLOW = 1.15, 2.0


def chain_rows(rounds: int) -> Iterator[TimedRow]:
    """Yield fetch, decode, geometry and canny of one photo, beside both."""
    cv2.setNumThreads(1)  # as in a run's processes
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "photo.jpg"
        write_photo(path)
        chain = _chain(path)
        of_calls = side_by_side(chain, partial(library_calls, path), rounds)
        yield TimedRow("12-megapixel JPEG to canny", "its library calls alone", of_calls, at_most=MOST_OF_CALLS)
        of_pillow = side_by_side(chain, partial(_whole, path), rounds)
        what = "Pillow's open().convert().resize()"
        yield TimedRow("12-megapixel JPEG to canny", what, of_pillow, at_least=LEAST_OF_PILLOW)


def write_photo(path: Path) -> None:
    """Write a photo of 12 megapixels with the fine noise of a sensor, about as large as a camera's."""
    with Image.open(str(files("skimage").joinpath("data", "astronaut.png"))) as image:
        pixels = np.asarray(image.convert("RGB").resize(SIZE), np.int16)
    noise = np.random.default_rng(0).normal(0, 6, (SIZE[1], SIZE[0], 1)).astype(np.int16)
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(path, quality=92)


def library_calls(path: Path) -> object:
    """Call what the steps stand on, with the numbers that they would find, and nothing between."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with Image.open(path) as image:
        image.draft(None, (SIZE[0] // SHRINK, SIZE[1] // SHRINK))
        left, top, right, bottom = (side / SHRINK for side in BOX)
        small = image.resize(TARGET, Image.Resampling.LANCZOS, box=(left, top, right, bottom), reducing_gap=3.0)
    edges = cv2.Canny(np.asarray(small), 100, 200)
    return digest, cv2.cvtColor(edges, cv2.COLOR_GRAY2RGB)


def _whole(path: Path) -> object:
    with Image.open(path) as image:
        return image.convert("RGB").resize(TARGET)


def _chain(path: Path) -> Callable[[], object]:
    """Return the steps of a run, over one row."""
    recipe = load_recipe("demo", [f"area={512 * 512}"])
    recipe = recipe.model_copy(update={"controls": recipe.controls[:1]})
    steps: list[Callable[[pa.Table], pa.Table]] = [
        RowStep("fetch", partial(fetch, allowed=frozenset({"file"})), FETCHED),
        RowStep("decode", partial(decode, geometry=Geometry.of(recipe)), DECODED),
        ControlMaps(recipe),
    ]
    row = dict.fromkeys(PLAN.names) | {"uri": str(path)}

    def chain() -> object:
        table = pa.Table.from_pylist([row], PLAN)
        for step in steps:
            table = step(table)
        return table

    return chain
