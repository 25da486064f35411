"""Loading a unit: the rows at its place in the plan, with prompts and credentials."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import DamagedOutputError, ManifestPromptError
from pipeline.plan import load_unit as module
from pipeline.plan.load_unit import load_unit
from pipeline.plan.plan_columns import prompt_columns
from pipeline.recipes.load import load_recipe
from pipeline.recipes.prompts import PromptRenderer
from schemas.arrow import to_rows
from schemas.recipe import Recipe
from schemas.work import Addresses, Planned, Unit
from tests.planning import RECIPE, manifest_of, plan_into, planning_of

PLAIN = PromptRenderer(RECIPE, ["photo_id", "prompt", "negative_prompt"])


def units_of(output: Path, table: pa.Table, size: int) -> list[Unit]:
    return to_rows(plan_into(output, table, size=size).units, Unit)


def prompts_of(table: pa.Table, recipe: Recipe, variants: int = 1) -> list[Planned]:
    """Return the rows of a manifest as a worker loads them."""
    with planning_of(table, recipe, variants) as planning:
        rows = planning.database.table("SELECT '' AS unit, * FROM keyed ORDER BY photo_id, variant")
        renderer = PromptRenderer(recipe, prompt_columns(planning.manifest, recipe))
    return module.planned_rows(to_rows(rows, module.PlanRow), renderer)


@pytest.mark.parametrize(("photos", "size"), [(5, 2), (2100, 500)])
def test_the_units_of_a_plan_have_all_of_its_rows(tmp_path: Path, photos: int, size: int) -> None:
    ids = [f"p{number:04d}" for number in range(photos)]
    units = units_of(tmp_path, manifest_of(ids), size)
    loaded = [load_unit(unit, PLAIN) for unit in units]
    assert [row.photo_id for rows in loaded for row in rows] == ids
    assert [len(rows) for rows in loaded] == [unit.rows for unit in units]
    assert all(row.unit == unit.unit for unit, rows in zip(units, loaded, strict=True) for row in rows)


def test_a_wrong_place_is_refused(tmp_path: Path) -> None:
    first, _ = units_of(tmp_path, manifest_of(["a", "b"]), 1)
    with pytest.raises(DamagedOutputError):
        load_unit(Unit(first.unit, first.uri, 1, 1, 1), PLAIN)
    with pytest.raises(DamagedOutputError):
        load_unit(Unit(first.unit, first.uri, 0, 3, 3), PLAIN)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (unit,) = units_of(tmp_path, manifest_of(["a"]), 1)
    Path(unit.uri).write_bytes(b"text")
    with pytest.raises(DamagedOutputError):
        load_unit(unit, PLAIN)


def test_credentials_replace_the_addresses_of_the_plan(tmp_path: Path) -> None:
    (unit,) = units_of(tmp_path, manifest_of(["a", "b"], uri=["https://h/a?sig=1", "/b.jpg"]), 2)
    first, second = load_unit(unit, PLAIN)
    assert (first.uri, first.redacted, second.redacted) == ("https://h/a", True, False)
    secret = Addresses(first.key, "https://h/a?sig=1", None, "s3://k:v@b/m.png", None)
    first, second = load_unit(replace(unit, addresses=(secret,)), PLAIN)
    assert (first.uri, first.mask_uri, second.uri) == ("https://h/a?sig=1", "s3://k:v@b/m.png", "/b.jpg")
    assert not first.redacted


def test_rows_that_a_later_plan_replaced_are_marked(tmp_path: Path) -> None:
    (unit,) = units_of(tmp_path, manifest_of(["a", "b"]), 2)
    _, second = load_unit(unit, PLAIN)
    marked = load_unit(replace(unit, superseded=(second.key,)), PLAIN)
    assert [row.superseded for row in marked] == [False, True]


def test_rows_without_a_key_of_the_unit_are_left_out(tmp_path: Path) -> None:
    (unit,) = units_of(tmp_path, manifest_of(["a", "b"]), 2)
    _, second = load_unit(unit, PLAIN)
    assert load_unit(replace(unit, pending=1, keys=(second.key,)), PLAIN) == [second]


def test_prompts_use_the_columns_of_the_manifest() -> None:
    recipe = load_recipe("demo", ["prompt='anime, {caption}'", "negative_prompt='{bad}'"])
    made = prompts_of(manifest_of(["a", "b"], caption=["a {cat}", None], bad=[1, 2]), recipe)
    assert [(row.prompt, row.negative_prompt) for row in made] == [("anime, a {cat}", "1"), ("anime, ", "2")]
    with pytest.raises(ManifestPromptError, match="'bad'"):
        prompts_of(manifest_of(["a"], caption=["x"]), recipe)


def test_a_prompt_of_the_manifest_may_name_columns() -> None:
    table = manifest_of(["a", "b"], prompt=["{photo_id} of {caption}", "{none}"], caption=["x", "y"])
    valid, invalid = prompts_of(table, RECIPE)
    assert (valid.prompt, valid.prompt_error) == ("a of x", None)
    assert invalid.prompt_error is not None


def test_choices_differ_between_variants_and_are_reproducible() -> None:
    recipe = load_recipe("demo", ["prompt='{red|green|blue|white} hair, {caption}'"])
    table = manifest_of(["a"], caption=["{x|y}"])
    made = prompts_of(table, recipe, 40)
    assert {row.prompt for row in made} == {f"{color} hair, {{x|y}}" for color in ("red", "green", "blue", "white")}
    assert made == prompts_of(table, recipe, 40)
    assert len({row.key for row in made}) == 40
