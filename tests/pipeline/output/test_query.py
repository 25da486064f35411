"""Queries of an output: views, formats, and statements that are refused."""

import json
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DamagedOutputError, MemoryLimitError, NotAnOutputError, OptionError, QueryError
from pipeline.output import run_file
from pipeline.output.query import open_query
from pipeline.output.run_file import RunMetadata
from schemas.provenance import PROVENANCE
from schemas.recipe import Recipe
from schemas.work import Decoded
from tests.plans import write_records
from tests.rows import blank_map, edit, encoded_row, failed_row_of


@pytest.fixture
def output(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> str:
    return write_output(str(tmp_path / "output"), decoded, recipe)


def write_output(output: str, decoded: Decoded, recipe: Recipe) -> str:
    """Write an output with two units and the rows p0 to p2, of which the last failed. Returns its address."""
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    maps = [blank_map(settings.name) for settings in recipe.detectors]
    planned = [edit(decoded.planned, photo_id=f"p{number}", key=f"{number}" * 64) for number in range(3)]
    done = [
        encoded_row(decoded, b"image", *maps, planned={"photo_id": row.photo_id, "key": row.key}) for row in planned
    ]
    run_file.write_run_file(output, run, {"status": "finished"})
    write_records(output, run, [*done[:2], failed_row_of(planned[2])], 2)
    return output


def rows_of(output: str, sql: str) -> list[dict[str, str]]:
    with open_query(output, sql) as query:
        rows: list[dict[str, str]] = query.head(100).to_pylist()
    return rows


def test_provenance_has_the_columns_of_records_and_superseded(output: str) -> None:
    names = [row["column_name"] for row in rows_of(output, "DESCRIBE provenance")]
    assert names == [*PROVENANCE.names, "superseded"]
    rows = rows_of(
        output, "SELECT photo_id, failure.code, superseded FROM provenance WHERE photo_id <> 'ü;' ORDER BY 1; -- ;"
    )
    assert [row["photo_id"] for row in rows] == ["p0", "p1", "p2"]
    assert [row["code"] for row in rows] == [None, None, "fetch.not_found"]
    assert {row["superseded"] for row in rows} == {"false"}


def test_rows_of_an_earlier_plan_are_superseded(output: str, decoded: Decoded, recipe: Recipe) -> None:
    changed = failed_row_of(edit(decoded.planned, photo_id="p0", key="x" * 64))
    write_records(output, RunMetadata("run-2", recipe, "0.1.0", None), [changed], 2)
    rows = rows_of(output, "SELECT run_id, superseded FROM provenance WHERE photo_id = 'p0' ORDER BY run_id")
    assert [row["superseded"] for row in rows] == ["true", "false"]


def test_plans_and_units_are_views(output: str) -> None:
    sql = "SELECT u.unit, recorded, count(*) AS planned FROM units u JOIN plan USING (unit) GROUP BY ALL ORDER BY ALL"
    next(Path(output).glob("provenance/*.parquet")).unlink()
    rows = rows_of(output, sql)
    assert sorted(row["planned"] for row in rows) == ["1", "2"]
    assert sorted(row["recorded"] for row in rows) == ["false", "true"]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("DESCRIBE units", 6),
        ("DESCRIBE SELECT unit FROM plan", 1),
        ("SUMMARIZE units", 6),
        ("SUMMARIZE SELECT unit FROM plan", 1),
        ("FROM units", 2),
        ("TABLE units", 2),
        ("VALUES (1)", 1),
        ("UNPIVOT units ON unit INTO NAME name VALUE value", 2),
        ("FROM (SELECT unit, rows FROM units) PIVOT (sum(rows) FOR unit IN ('a', 'b'))", 1),
    ],
)
def test_statements_that_only_read_are_written_too(output: str, sql: str, rows: int) -> None:
    with open_query(output, sql) as query:
        assert query.count() == query.head(100).num_rows == rows
        assert len(query.write("json").read_text().splitlines()) == rows


@pytest.mark.parametrize("sql", ["EXPLAIN FROM units", "PIVOT units ON recorded USING count(*)", "SELECT 1; SELECT 2"])
def test_each_kind_of_refused_statement_has_its_own_hint(output: str, sql: str) -> None:
    with pytest.raises(QueryError) as refused, open_query(output, sql):
        pass
    assert (QueryError.hint in str(refused.value)) == (sql == "SELECT 1; SELECT 2")


def test_the_number_of_rows_is_known(output: str) -> None:
    with open_query(output, "FROM provenance ORDER BY photo_id") as query:
        assert query.count() == 3
        assert query.head(1)["photo_id"].to_pylist() == ["p0"]


def test_results_are_written_in_three_formats(output: str) -> None:
    with open_query(output, "SELECT photo_id, seconds FROM provenance ORDER BY photo_id -- the last line") as query:
        lines = query.write("json").read_text().splitlines()
        assert [json.loads(line)["photo_id"] for line in lines] == ["p0", "p1", "p2"]
        assert query.write("csv").read_text().splitlines()[0] == "photo_id,seconds"
        assert pq.read_table(query.write("parquet")).schema.field("seconds").type == PROVENANCE.field("seconds").type


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT",
        "SELECT no_column FROM provenance",
        "SELECT ? FROM provenance",
        "SELECT 'x'::INTEGER",
        "SELECT 1; SELECT 2",
        "SELECT 1) TO 'x'; --",
        "CREATE TABLE t (x INTEGER)",
        "DROP VIEW provenance",
        "DELETE FROM units",
        "SET memory_limit = '1TB'",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "ATTACH 'x.db'",
        "COPY provenance TO 'x.csv'",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPORT DATABASE 'x'",
        "FROM '{folder}/other.csv'",
        "FROM read_csv('{folder}/other.csv')",
        "FROM read_text('{folder}/output/_run.json')",
        "FROM glob('{folder}/*')",
        "FROM read_parquet('memory://other/x.parquet')",
        "FROM read_parquet('https://example.com/x.parquet')",
        "FROM plans",
    ],
)
def test_other_statements_and_files_are_refused(
    output: str, tmp_path: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.csv").write_text("a\n1\n")
    fsspec.filesystem("memory").pipe_file("/other/x.parquet", next(Path(output).glob("*/*.parquet")).read_bytes())
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(QueryError) as refused:
        rows_of(output, sql.replace("{folder}", str(tmp_path)))
    assert len(str(refused.value).splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("scheme", ["memory", "bucket"])
def test_outputs_at_other_addresses_are_queried(
    scheme: str, request: pytest.FixtureRequest, decoded: Decoded, recipe: Recipe
) -> None:
    root = "memory://queried" if scheme == "memory" else f"{request.getfixturevalue('bucket')}/queried"
    output = write_output(root, decoded, recipe)
    assert len(rows_of(output, "FROM provenance JOIN plan USING (key)")) == 3
    with pytest.raises(QueryError):
        rows_of(output, f"FROM read_text('{output}/_run.json')")


def test_a_memory_limit_is_kept(output: str) -> None:
    sql = "SELECT string_agg(repeat('x', 1000000)) FROM range(1000)"
    with open_query(output, sql, "50MB") as query, pytest.raises(MemoryLimitError):
        query.head(1)


@pytest.mark.parametrize("memory", ["much", "", "-1", "none", "80%", "2", "5kB", "99999999TB", "\udcff"])
def test_an_amount_of_memory_that_is_invalid_or_too_small_is_refused(output: str, memory: str) -> None:
    with pytest.raises(OptionError) as refused, open_query(output, "SELECT 1", memory):
        pass
    assert refused.value.code == OptionError.code
    assert f"--memory {memory}:" in str(refused.value)


def test_a_folder_that_is_not_an_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAnOutputError):
        rows_of(str(tmp_path / "none"), "SELECT 1")


def test_a_damaged_record_is_no_error_of_the_query(output: str) -> None:
    record = min(Path(output, "provenance").iterdir())
    record.write_bytes(record.read_bytes()[:-100])
    with pytest.raises(DamagedOutputError):
        rows_of(output, "SELECT photo_id FROM provenance")
