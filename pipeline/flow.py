"""The way of a photo: the page to begin with.

    plan ─ fetch ─ decode ─ control maps ─ convert ─ encode ─ commit

Each step takes a table of rows and returns one with more columns (`schemas.work`). Ray Data keeps all steps busy at
once and carries the tables between them: `map_batches` hands each table to a process of the step's own. One table is
one unit: the photos that are computed, written and retried together. Light steps run wherever a core waits, control
maps in processes that keep their detectors loaded, the converter in one process for each GPU.
"""

from collections.abc import Iterator
from functools import partial

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
from pipeline.prepare import Prepared
from schemas.work import DECODED, ENCODED, FETCHED


def photos_to_anime(run: Prepared, commit: Commit, crew: Crew) -> Iterator[pa.Table]:
    """Convert the units that a run has to do; yield a table of `schemas.work.COMMITTED` whenever some are written."""
    recipe, units = run.recipe, list(run.work.units.values())
    detectors = [control.detector for control in recipe.controls]
    fetching = Each("fetch", partial(fetch, allowed=run.allowed), FETCHED)
    decoding = Each("decode", partial(decode, buckets=recipe.buckets, fit=recipe.fit), DECODED)
    encoding = Each("encode", partial(encode, output=recipe.output), ENCODED)
    rows = (
        ray.data.from_arrow(units)
        .map_batches(fetching, **crew.light)
        .map_batches(decoding, **crew.light)
        .map_batches(ControlMaps, fn_constructor_args=(detectors, run.blank), **crew.control_maps)
        .map_batches(Converter, fn_constructor_args=(recipe,), **crew.converters)
        .map_batches(encoding, **crew.light)
        .map_batches(commit, **crew.light)
    )
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
