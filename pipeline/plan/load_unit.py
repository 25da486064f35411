"""Load the rows of one unit from the files of its plan, render their prompts, and restore their credentials."""

import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import DamagedOutputError, describe_exception
from pipeline.recipes.prompts import PROMPT_COLUMNS, PromptRenderer
from schemas.arrow import to_rows
from schemas.work import PLAN, Addresses, Planned, PlanRow, Unit

# Consecutive units are in one row group, so that a process decodes it once for several units.
_CACHED_ROW_GROUPS = 2
_CACHED_FILES = 2  # each is in memory as a whole


def load_unit(unit: Unit, renderer: PromptRenderer) -> list[Planned]:
    """Load the rows of a unit that are to be processed.

    Args:
        unit: The unit.
        renderer: Renders the prompts.

    Raises:
        DamagedOutputError: The file of the plan cannot be read, or does not have the rows of the unit.
    """
    rows = to_rows(_read(unit), PlanRow)
    if any(row.unit != unit.unit for row in rows) or len(rows) != unit.rows:
        raise DamagedOutputError(f"{storage.redact(unit.uri)}: does not contain unit {unit.unit} at row {unit.start}")
    if unit.keys is not None:
        keys = frozenset(unit.keys)
        rows = [row for row in rows if row.key in keys]
    addresses, superseded = {each.key: each for each in unit.addresses or ()}, frozenset(unit.superseded or ())
    planned = planned_rows(rows, renderer, addresses)
    return [replace(row, superseded=True) if row.key in superseded else row for row in planned]


def planned_rows(
    rows: Iterable[PlanRow], renderer: PromptRenderer, addresses: Mapping[str, Addresses] | None = None
) -> list[Planned]:
    """Return rows of a plan with rendered prompts, and with the credentials of their addresses, given by key."""
    return [_planned(row, renderer, (addresses or {}).get(row.key)) for row in rows]


def _planned(row: PlanRow, renderer: PromptRenderer, addresses: Addresses | None) -> Planned:
    shared = {field.name: getattr(row, field.name) for field in fields(PlanRow) if field.name not in PROMPT_COLUMNS}
    columns = json.loads(row.manifest) | {"photo_id": row.photo_id}
    prompts = renderer.of(columns | {name: getattr(row, name) for name in PROMPT_COLUMNS}, row.seed)
    planned = Planned(
        **shared,
        prompt=prompts["prompt"] or "",
        negative_prompt=prompts["negative_prompt"] or "",
        prompt_error=prompts["prompt_error"],
        superseded=False,
    )
    if addresses is None:
        return planned
    return replace(planned, redacted=False, **{name: getattr(addresses, name) for name in _ADDRESS_COLUMNS})


_ADDRESS_COLUMNS = tuple(field.name for field in fields(Addresses) if field.name != "key")


def _read(unit: Unit) -> pa.Table:
    """Read the rows of a unit from the row groups that contain them."""
    try:
        starts = _row_groups(unit.uri)
        tables: list[pa.Table] = []
        for number, (start, end) in enumerate(itertools.pairwise(starts)):
            if start < unit.start + unit.rows and end > unit.start:
                table = _read_row_group(unit.uri, number)
                first = max(0, unit.start - start)
                tables.append(table.slice(first, unit.start + unit.rows - start - first))
        return pa.concat_tables([PLAN.empty_table(), *tables])
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        reason = storage.redact_message(describe_exception(error), unit.uri)
        raise DamagedOutputError(f"{storage.redact(unit.uri)}: not a file of a plan ({reason})") from error


def _row_groups(uri: str) -> Sequence[int]:
    """Return the position of the first row of each row group of a file, and the number of its rows."""
    metadata = _file(uri).metadata
    starts = [0]
    for number in range(metadata.num_row_groups):
        starts.append(starts[-1] + metadata.row_group(number).num_rows)
    return starts


@functools.lru_cache(_CACHED_FILES)
def _file(uri: str) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(storage.read(uri)), pre_buffer=False)


@functools.lru_cache(_CACHED_ROW_GROUPS)
def _read_row_group(uri: str, number: int) -> pa.Table:
    return _file(uri).read_row_group(number, columns=PLAN.names, use_threads=False).select(PLAN.names).cast(PLAN)
