"""The plans of an output: Parquet files below `_plan/`, written once and never changed."""

import hashlib
import json
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import OutputError
from schemas.work import PLAN


def read_plans(output: str) -> pa.Table:
    """Return every plan of an output, the oldest first. Raises `OutputError` for one that cannot be read."""
    tables = [PLAN.empty_table()]
    for name in storage.names(storage.join(output, "_plan")):
        if not name.endswith(".parquet") or name.startswith("."):
            continue
        uri = storage.join(output, "_plan", name)
        try:
            tables.append(storage.read_table(uri, PLAN.names).cast(PLAN))
        except (pa.ArrowException, KeyError, ValueError, OSError) as error:
            message = f"{storage.redact(uri)} is no plan of this program ({error})"
            raise OutputError(message, "Restore it, or choose another output.") from error
    return pa.concat_tables(tables)


def write_plan(output: str, plan: pa.Table) -> None:
    """Put `plan` beside the plans that are there, under a name that sorts behind theirs."""
    number = len([name for name in storage.names(storage.join(output, "_plan")) if name.endswith(".parquet")]) + 1
    name = f"{number:05d}-{hash_json(*plan['key'].to_pylist())[:16]}.parquet"
    storage.put_table(storage.join(output, "_plan", name), plan)


def superseded_keys(plans: pa.Table) -> set[str]:
    """Return the keys whose photo and variant were planned again later, with other content or another recipe."""
    columns = (plans[name].to_pylist() for name in ("photo_id", "variant", "key"))
    rows = [((photo_id, variant), key) for photo_id, variant, key in zip(*columns, strict=True)]
    latest = dict(rows)
    return {key for place, key in rows if latest[place] != key}


def hash_json(*parts: Any) -> str:  # noqa: ANN401 - anything with a JSON text
    """Return the sha256 of parts as JSON, 64 hex digits."""
    return hashlib.sha256(json.dumps(parts, default=str, ensure_ascii=False).encode()).hexdigest()
