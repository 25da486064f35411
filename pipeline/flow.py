"""The way of a photo: the page to begin with.

    plan ─ fetch ─ decode ─ control maps ─ convert ─ encode ─ commit

Each step takes a table of rows and returns one with more columns (`schemas.work`). Ray Data keeps all steps busy at
once, each on its own processes, and carries the tables between them. One table is one unit: the photos that are
computed, written and retried together.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import ray.data

from pipeline.cluster import Crew
from pipeline.commit import Commit
from pipeline.controls import ControlMaps
from pipeline.convert import Converter
from pipeline.decode import decode
from pipeline.each import Each
from pipeline.encode import encode
from pipeline.fetch import fetch
from schemas.recipe import Recipe
from schemas.work import DECODED, ENCODED, FETCHED

WHOLE_UNIT: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}


def photos_to_anime(
    units: list[pa.Table], recipe: Recipe, allowed: frozenset[str], blank: frozenset[str], commit: Commit, crew: Crew
) -> Iterator[pa.Table]:
    """Convert the units of a plan; yield a table of `schemas.work.COMMITTED` whenever units are written."""
    detectors = [control.detector for control in recipe.controls]
    rows = ray.data.from_arrow(units)
    rows = rows.map_batches(Each("fetch", partial(fetch, allowed=allowed), FETCHED), **WHOLE_UNIT, **crew.light)
    rows = rows.map_batches(
        Each("decode", partial(decode, buckets=recipe.buckets, fit=recipe.fit), DECODED), **WHOLE_UNIT, **crew.light
    )
    rows = rows.map_batches(ControlMaps, fn_constructor_args=(detectors, blank), **WHOLE_UNIT, **crew.control_maps)
    rows = rows.map_batches(Converter, fn_constructor_args=(recipe,), batch_format="pyarrow", **crew.converters)
    rows = rows.map_batches(Each("encode", partial(encode, output=recipe.output), ENCODED), **WHOLE_UNIT, **crew.light)
    rows = rows.map_batches(commit, **WHOLE_UNIT, **crew.light)
    yield from rows.iter_batches(**WHOLE_UNIT, prefetch_batches=0)
