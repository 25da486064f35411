"""Verification finds every changed bit of records, plans and their indexes."""

import random
import shutil
from pathlib import Path

import pytest

from pipeline.errors import DamagedOutputError
from pipeline.output import plan_store, run_file
from pipeline.output.plan_store import NewPlan
from pipeline.output.repair import repair
from pipeline.output.run_file import RunMetadata
from pipeline.output.verify import verify
from schemas.recipe import Recipe
from schemas.work import PLANNED_UNITS, Decoded
from tests.plans import PART, write_records
from tests.rows import encoded_row

pytestmark = pytest.mark.slow
FLIPS = 150


@pytest.fixture
def output(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> Path:
    """Write an output with one plan, 150 units of one row, and their records and images."""
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    keys = [f"{number:04d}" * 8 for number in range(FLIPS)]
    rows = [encoded_row(decoded, b"image", planned={"photo_id": key[:4], "key": key}) for key in keys]
    run_file.write_run_file(str(tmp_path), run, {"status": "finished"})
    run_file.store_recipe(str(tmp_path), recipe)
    write_records(tmp_path, run, rows, 1)
    return tmp_path


def flip(path: Path, generator: random.Random) -> None:
    """Change one random bit of a file."""
    content = bytearray(path.read_bytes())
    bit = generator.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.fixture
def generator() -> random.Random:
    return random.Random(7)  # noqa: S311 - not for cryptography


def test_every_flipped_bit_of_a_record_is_found(output: Path, generator: random.Random) -> None:
    assert verify(str(output)).valid
    records = sorted(output.glob("provenance/*.parquet"))
    for path in records:
        flip(path, generator)
    findings = verify(str(output))
    assert len(findings.altered) == len(findings.damaged_units) == FLIPS
    named = {line.partition(": ")[0] for line in findings.altered.first(FLIPS)}
    assert named == {f"provenance/{path.name}" for path in records}
    repair(str(output), findings)
    assert not list(output.glob("provenance/*.parquet"))


def test_every_flipped_bit_of_an_index_is_an_error_that_names_it(output: Path, generator: random.Random) -> None:
    (index,) = output.glob("_plan/*.parquet")
    content = index.read_bytes()
    for _ in range(FLIPS):
        flip(index, generator)
        with pytest.raises(DamagedOutputError, match="_plan/00001.parquet: .* delete the folder _plan"):
            verify(str(output))
        index.write_bytes(content)
    assert len(plan_store.read_plans(str(output))) == 1


def test_every_flipped_bit_of_a_plan_is_found_and_its_rows_are_not_compared(
    output: Path, tmp_path_factory: pytest.TempPathFactory, generator: random.Random
) -> None:
    (plan,), folder = plan_store.read_plans(str(output)), tmp_path_factory.mktemp("plan")
    for number in range(FLIPS - 1):
        shutil.copy(f"{plan.uri}/{PART}", folder / f"part-{number:05d}.parquet")
    plan_store.write_plan(str(output), NewPlan(2, folder, PLANNED_UNITS.empty_table()))
    parts = sorted(output.glob("_plan/*/*.parquet"))
    for path in parts:
        flip(path, generator)
    flip(min(output.glob("provenance/*.parquet")), generator)
    findings = verify(str(output))
    named = {line.partition(": ")[0] for line in findings.altered.first(FLIPS + 1)}
    assert {f"_plan/{path.parent.name}/{path.name}" for path in parts} <= named
    assert len(findings.altered) == FLIPS + 1
    assert (len(findings.missing), len(findings.orphaned), len(findings.damaged_units)) == (0, 0, 1)


def test_an_altered_recipe_is_found(output: Path) -> None:
    (path,) = output.glob("_recipes/*.yaml")
    path.write_bytes(path.read_bytes().replace(b"steps: 2", b"steps: 3"))
    assert verify(str(output)).altered.first(9)[0].startswith(f"_recipes/{path.name}: ")
