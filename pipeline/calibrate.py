"""How long each step takes for photos of this very run: a few of them, the whole way but for writing, before it begins.

Knows nothing of Ray: `pipeline.engine` runs `measure_maps` where a core is free, `measure_pictures` on a GPU or a core.
The first photo is drawn once more than is counted: it loads networks and meets cold caches.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import pyarrow as pa

from pipeline.controls import ControlMaps
from pipeline.decode import decode
from pipeline.draw import Draw
from pipeline.each import Each
from pipeline.encode import encoder
from pipeline.fetch import fetch
from pipeline.prepare import Prepared, decoding
from schemas.work import DECODED, FETCHED, Row

PHOTOS = 4  # that are measured
LEAST_WORK = 64  # pictures of a run for which it is worth the half minute

Step = Callable[[pa.Table], pa.Table]


def chosen(run: Prepared) -> pa.Table:
    """Return the rows to measure: photos from all over the work, one variant of each."""
    units = list(run.work.units.values())
    every = max(1, len(units) // PHOTOS)
    return pa.concat_tables([unit.slice(0, 1) for unit in units[::every][:PHOTOS]])


def measure_maps(run: Prepared, rows: pa.Table, left: frozenset[str]) -> tuple[pa.Table, dict[str, float]]:
    """Return `rows` behind the control maps, and the milliseconds of fetch, decode and controls for one photo.

    `left` names the detectors that a GPU draws. No cache is asked: it says nothing of a detector's pace.
    """
    steps: list[Step] = [
        Each("fetch", partial(fetch, allowed=run.allowed), FETCHED),
        Each("decode", partial(decode, **decoding(run.recipe, run.blank)), DECODED),
        ControlMaps(run.recipe, run.blank, left),
    ]
    mapped = _measured(steps, rows)
    return mapped, _milliseconds(mapped, ("fetch", "decode", "controls"))


def measure_pictures(run: Prepared, mapped: pa.Table, batch: int, on_gpu: frozenset[str]) -> dict[str, float]:
    """Return the milliseconds of convert and encode for one photo; `convert` holds the maps that a GPU draws.

    `batch` is how many photos are drawn at once: fewer rows would pay for places that stay empty, so they are repeated.
    """
    before = _milliseconds(mapped, ("controls",))
    mapped = pa.concat_tables([mapped] * -(-batch // max(1, mapped.num_rows)))
    steps: list[Step] = [Draw(run.recipe, on_gpu, compile_cache=run.compile_cache)]
    if run.recipe.mode != "maps":
        steps.append(encoder(run.recipe))
    spent = _milliseconds(_measured(steps, mapped), ("controls", "convert", "encode"))
    maps = spent.pop("controls", 0.0) - before.get("controls", 0.0)  # of this process alone
    return spent | {"convert": spent.get("convert", 0.0) + max(0.0, maps)}


def _measured(steps: list[Step], rows: pa.Table) -> pa.Table:
    """Take `rows` through loaded steps; the first row goes ahead, so that they are."""
    ahead = rows.slice(0, 1)
    for step in steps:
        ahead = step(ahead)
    for step in steps:
        rows = step(rows)
    return rows


def _milliseconds(rows: pa.Table, stages: tuple[str, ...]) -> dict[str, float]:
    """Return the median of each stage over the rows that did not fail; nothing where all did."""
    done: list[Row] = [row for row in rows.select(["seconds", "failure"]).to_pylist() if not row["failure"]]
    spent = {stage: [row["seconds"][stage] for row in done if row["seconds"][stage] is not None] for stage in stages}
    return {stage: round(1000 * median(seconds), 3) for stage, seconds in spent.items() if seconds}
