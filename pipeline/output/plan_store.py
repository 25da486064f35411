"""Read and write the plans of an output: Parquet files in `_plan/` that never change once they are written."""

import hashlib
import json

import pyarrow as pa

from pipeline import storage
from pipeline.errors import DamagedOutputError
from schemas.work import PLAN


def read_plans(output: str) -> pa.Table:
    """Read all plans of an output into one table, the oldest first. Raises `DamagedOutputError` for an invalid plan."""
    tables = [PLAN.empty_table()]
    for name in _plan_names(output):
        uri = storage.join(output, "_plan", name)
        try:
            tables.append(storage.read_table(uri, PLAN.names).cast(PLAN))
        except (pa.ArrowException, KeyError, ValueError, OSError) as error:
            hint = "Restore the file, or choose another output."
            raise DamagedOutputError(f"{storage.redact(uri)}: not a plan ({error})", hint) from error
    return pa.concat_tables(tables)


def write_plan(output: str, plan: pa.Table) -> None:
    """Write a plan to `_plan/`, under a name that sorts after the names of the existing plans."""
    number = len(_plan_names(output)) + 1
    name = f"{number:05d}-{hash_json(*plan['key'].to_pylist())[:16]}.parquet"
    storage.put_table(storage.join(output, "_plan", name), plan)


def superseded_keys(plans: pa.Table) -> set[str]:
    """Find the keys that differ from the latest key of their photo and variant.

    The key of a photo and variant changes when the photo or the recipe changes.
    """
    columns = (plans[name].to_pylist() for name in ("photo_id", "variant", "key"))
    rows = [((photo_id, variant), key) for photo_id, variant, key in zip(*columns, strict=True)]
    latest_keys = dict(rows)
    return {key for photo_and_variant, key in rows if latest_keys[photo_and_variant] != key}


def hash_json(*parts: object) -> str:
    """Compute the SHA-256 digest of values as JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, default=str, ensure_ascii=False).encode()).hexdigest()


def _plan_names(output: str) -> list[str]:
    names = storage.names(storage.join(output, "_plan"))
    return [name for name in names if name.endswith(".parquet") and not name.startswith(".")]
