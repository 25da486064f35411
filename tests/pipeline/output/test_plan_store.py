"""Plans are read as they were written, those of earlier versions too."""

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import DamagedOutputError
from pipeline.output.plan_store import read_plans, write_plan
from schemas.arrow import to_table
from schemas.work import PLAN, Planned
from tests.rows import planned_row


def plan(key: str) -> pa.Table:
    return to_table([planned_row(key=key, prompt_error="prompt: invalid")], Planned)


def test_plans_are_read_in_the_order_in_which_they_were_written() -> None:
    output = "memory://plan-store"
    assert read_plans(output).schema == PLAN
    write_plan(output, plan("b"))
    write_plan(output, plan("a"))
    assert read_plans(output).equals(pa.concat_tables([plan("b"), plan("a")]))


def test_a_plan_of_version_0_1_0_is_read() -> None:
    old = [{"prompt_error": "prompt_fault"}.get(name, name) for name in PLAN.names]
    storage.put_table("memory://old-plan-store/_plan/00001-a.parquet", plan("a").rename_columns(old))
    assert read_plans("memory://old-plan-store").equals(plan("a"))


def test_a_plan_without_a_column_is_damaged() -> None:
    storage.put_table("memory://damaged-plan-store/_plan/00001-a.parquet", plan("a").drop_columns(["seed"]))
    with pytest.raises(DamagedOutputError):
        read_plans("memory://damaged-plan-store")
