"""Measure the seconds per photo on CPUs, from fetching to encoding, with a Canny map and three ControlNets."""

import functools
import multiprocessing
import os
import time
from collections.abc import Iterator
from functools import partial
from importlib.resources import files

from jobs.demo_model.metrics_table import Figure, require_maximum
from pipeline.plan.plan import plan_photos
from pipeline.recipes.load import load_recipe
from pipeline.steps.chain import ChainSettings, TableFunction, fetch_step, photo_steps
from pipeline.steps.row_step import table_to_rows
from pipeline.storage.limits import Access
from schemas.recipe import Recipe
from schemas.work import Encoded, Failed

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
SETTINGS = ("steps=8", 'aspect_ratios=["1:1"]')
CORES = 2
MAXIMUM = 2.5  # seconds per photo
BLANK = frozenset({"openpose", "depth"})  # detectors without weights


def speed_figures() -> Iterator[Figure]:
    """Measure the seconds per 256x256 photo, in CORES processes of one thread each, like the actors of a run."""
    with multiprocessing.get_context("spawn").Pool(CORES, _hide_gpus) as pool:
        for name in ("demo", "demo-text2img"):
            pool.map(partial(_convert, name), PHOTOS[:CORES], chunksize=1)  # load the models before the measurement
            began = time.perf_counter()
            conversions = pool.map(partial(_convert, name), PHOTOS, chunksize=1)
            seconds = (time.perf_counter() - began) / len(PHOTOS)
            mean = sum(conversions) / len(conversions)
            title = f"seconds per 256x256 photo, recipe {name}, 8 steps, 3 ControlNets (2 maps blank), {CORES} cores"
            yield require_maximum(title, seconds, MAXIMUM, mean, "seconds of the conversion step of a photo")


def _hide_gpus() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # effective, because CUDA is not initialised yet


def _convert(name: str, photo: str) -> float:
    """Convert a photo with the steps from fetch to encode, and return the seconds of the conversion step."""
    recipe, steps = _recipe_and_steps(name)
    table = plan_photos([str(files("skimage").joinpath("data", photo))], recipe)
    for step in steps:
        table = step(table)
    (row,) = table_to_rows(table, Encoded)
    if isinstance(row, Failed):
        raise RuntimeError(row.failure.message)  # noqa: TRY004 - the failure of a row, not a wrong type
    return row.timing.seconds.convert or 0.0


@functools.lru_cache
def _recipe_and_steps(name: str) -> tuple[Recipe, list[TableFunction]]:
    recipe = load_recipe(name, SETTINGS)
    settings = ChainSettings(recipe, Access(frozenset({"file"})), BLANK)
    return recipe, [fetch_step(settings.access), *(step.create() for step in photo_steps(settings))]
