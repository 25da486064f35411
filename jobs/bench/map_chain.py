"""The steps from a 12-megapixel JPEG to its canny map, compared with plain library calls."""

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

from jobs.bench.timing import TimedRow, compare
from pipeline.plan.plan import plan_photos
from pipeline.recipes.load import load_recipe
from pipeline.steps.chain import ChainSettings, TableFunction, fetch_step, photo_steps
from pipeline.storage.limits import Access

SIZE = (4000, 3000)  # width and height of the photo
TARGET = (576, 448)  # width and height of the map
SHRINK, BOX = 4, (71.4, 0.0, 3928.6, 3000.0)  # how the decode step shrinks and crops a photo of SIZE to TARGET
MAX_RATIO, MIN_SPEEDUP = 1.15, 2.0
NAME = "12-megapixel JPEG to canny"


def chain_rows(rounds: int) -> Iterator[TimedRow]:
    """Time fetch, decode and canny of one photo. Yields one row for each baseline."""
    cv2.setNumThreads(1)  # as in the worker processes of a run
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        write_photo(path)
        chain = _chain(path)
        timing = compare(chain, partial(library_calls, path), rounds)
        yield TimedRow(NAME, "the same library calls", timing, max_ratio=MAX_RATIO)
        timing = compare(chain, partial(_resize_in_full, path), rounds)
        yield TimedRow(NAME, "Pillow's open().convert().resize()", timing, min_speedup=MIN_SPEEDUP)


def write_photo(path: Path) -> None:
    """Write a JPEG of 12 megapixels with sensor noise, so that its file size is that of a camera's photo."""
    with Image.open(str(files("skimage").joinpath("data", "astronaut.png"))) as image:
        pixels = np.asarray(image.convert("RGB").resize(SIZE), np.int16)
    noise = np.random.default_rng(0).normal(0, 6, (SIZE[1], SIZE[0], 1)).astype(np.int16)
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(path, quality=92)


def library_calls(path: Path) -> tuple[str, object]:
    """Make the library calls of the steps, with precomputed geometry. Returns the digest and the canny map."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with Image.open(path) as image:
        image.draft(None, (SIZE[0] // SHRINK, SIZE[1] // SHRINK))
        left, top, right, bottom = (side / SHRINK for side in BOX)
        small = image.resize(TARGET, Image.Resampling.LANCZOS, box=(left, top, right, bottom), reducing_gap=3.0)
    edges = cv2.Canny(np.asarray(small), 100, 200)
    return digest, cv2.cvtColor(edges, cv2.COLOR_GRAY2RGB)


def _resize_in_full(path: Path) -> object:
    with Image.open(path) as image:
        return image.convert("RGB").resize(TARGET)


def _chain(path: Path) -> Callable[[], pa.Table]:
    """Return a function that applies the steps of a run to one row."""
    recipe = load_recipe("demo", [f"area={512 * 512}"])
    recipe = recipe.model_copy(update={"controls": recipe.controls[:1]})
    settings = ChainSettings(recipe.model_copy(update={"mode": "maps"}), Access(frozenset({"file"})))
    steps: list[TableFunction] = [fetch_step(settings.access), *(step.create() for step in photo_steps(settings))]
    planned = plan_photos([str(path)], recipe)

    def chain() -> pa.Table:
        table = planned
        for step in steps:
            table = step(table)
        return table

    return chain
