"""The steps of the flow in this very process, for a few photos to look at: no Ray, no plan, nothing recorded."""

import functools
from collections.abc import Callable
from functools import partial

import pyarrow as pa

from pipeline import storage
from pipeline.models import checks
from pipeline.plan.manifest import check_manifest
from pipeline.plan.plan import plan_rows
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.decode import decode, decode_settings
from pipeline.steps.fetch import fetch
from pipeline.steps.gpu_worker import GpuWorker, available_device
from pipeline.steps.row_step import RowStep
from pipeline.storage import PUBLIC_SCHEMES
from schemas.recipe import Recipe
from schemas.work import DECODED, FETCHED, PLAN, Row

ALLOWED = PUBLIC_SCHEMES | {"file", "private"}  # whoever names photos on a command line may reach them


def preview_rows(
    photos: list[str], recipe: Recipe, *, cache: str | None, pictures: bool, note: Callable[[str], None]
) -> list[Row]:
    """Return the rows of `photos` behind the control maps, or with `pictures` behind the converter, in their order.

    `photo` holds the pixels that the detectors saw, [height, width, 3], null where the row failed before.
    `cache` is a folder of control maps; `note` is told of maps that are blank. Raises `RunError` for missing weights.
    """
    changed = {"compile": "off"} if pictures else {"mode": "maps"}  # to compile takes longer than a few photos
    chosen = recipe.model_copy(update=changed)
    blank = checks.check_models(chosen)
    for name in sorted(blank):
        note(f"no weights for {name}: its maps are blank")
    table = check_manifest(pa.table({"photo_id": photos, "uri": [storage.absolute(uri) for uri in photos]}), "photos")
    steps: list[Callable[[pa.Table], pa.Table]] = [
        RowStep("fetch", partial(fetch, allowed=ALLOWED), FETCHED),
        RowStep("decode", partial(decode, **decode_settings(chosen, blank)), DECODED),
        ControlMaps(chosen, blank, device=available_device(), cache=cache),
    ]
    rows = pa.Table.from_pylist(plan_rows(table, chosen, 1), PLAN)
    mapped = functools.reduce(lambda table, step: step(table), steps, rows)
    drawn = GpuWorker(chosen)(mapped) if pictures else mapped
    photos_seen = mapped["pixels"].to_pylist()
    return [row | {"photo": seen} for row, seen in zip(drawn.to_pylist(), photos_seen, strict=True)]
