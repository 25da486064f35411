"""How long a photo takes on a CPU: read, decoded, its canny map, converted with three nets, encoded."""

import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files

import pyarrow as pa

from jobs.demo_model.metrics_table import Figure, at_most
from pipeline.recipes.load import load_recipe
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.convert import Converter
from pipeline.steps.decode import Geometry, decode
from pipeline.steps.encode import encode_step
from pipeline.steps.fetch import fetch
from pipeline.steps.row_step import RowStep
from schemas.recipe import Recipe
from schemas.work import DECODED, FETCHED, PLAN

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
SETTINGS = ("steps=8", 'aspect_ratios=["1:1"]')
CORES = 2
MOST = 2.5  # seconds a photo may take
BLANK = frozenset({"openpose", "depth"})  # drawn without a detector's weights


def speed_figures() -> Iterator[Figure]:
    """Yield the seconds of a 256x256 photo: PHOTOS in CORES processes of one thread each, as a run's actors are."""
    with multiprocessing.get_context("spawn").Pool(CORES, _without_gpu) as pool:
        for name in ("demo", "demo-text2img"):
            pool.map(partial(_convert, name), PHOTOS[:CORES], chunksize=1)  # models are loaded here
            began = time.perf_counter()
            alone = pool.map(partial(_convert, name), PHOTOS, chunksize=1)
            seconds = (time.perf_counter() - began) / len(PHOTOS)
            mean = sum(alone) / len(alone)
            what = f"seconds per 256x256 photo, recipe {name}, 8 steps, 3 nets (2 maps blank), {CORES} cores"
            yield at_most(what, seconds, MOST, mean, "seconds of conversion in one of the processes")


def _without_gpu() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # nothing has asked for one yet


def _convert(name: str, photo: str) -> float:
    """Take a photo the whole way, as a run does; return the seconds of its conversion."""
    recipe, steps = _way(name)
    blank = dict.fromkeys(PLAN.names)
    uri = str(files("skimage").joinpath("data", photo))
    row = blank | {"uri": uri, "seed": 1, "prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
    drawn = functools.reduce(lambda table, step: step(table), steps, pa.Table.from_pylist([row], PLAN)).to_pylist()[0]
    if drawn["failure"]:
        raise RuntimeError(drawn["failure"]["message"])
    seconds: float = drawn["seconds"]["convert"]
    return seconds


@functools.lru_cache
def _way(name: str) -> tuple[Recipe, list[Callable[[pa.Table], pa.Table]]]:
    """Return a recipe and the steps of a run, loaded."""
    recipe = load_recipe(name, SETTINGS)
    return recipe, [
        RowStep("fetch", partial(fetch, allowed=frozenset({"file"})), FETCHED),
        RowStep("decode", partial(decode, geometry=Geometry.of(recipe)), DECODED),
        ControlMaps(recipe, BLANK),
        Converter(recipe),
        encode_step(recipe),
    ]
