"""Databases: files at any address, a limit for memory, and quoted names and texts."""

import duckdb
import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import DiskFullError, MemoryLimitError
from pipeline.storage.database import identifier, literal, literals, open_database, sql_type
from schemas.work import PLAN


def test_files_of_other_file_systems_are_read() -> None:
    storage.put_table("memory://database/a.parquet", pa.table({"x": [1, 2]}))
    with open_database() as database:
        files = database.parquet(["memory://database/a.parquet"])
        assert database.row(f"SELECT sum(x) FROM {files}") == (3,)  # noqa: S608 - a test


def test_names_and_texts_are_quoted() -> None:
    name, text = 'a "quoted" name', "it's"
    with open_database() as database:
        query = f"SELECT {literal(text)} AS {identifier(name)}, {literals([text, 'b'])} AS list"
        assert database.table(query).to_pylist() == [{name: text, "list": [text, "b"]}]


def test_every_type_of_a_plan_has_a_type_in_sql() -> None:
    with open_database() as database:
        columns = ", ".join(f"NULL::{sql_type(field.type)} AS {field.name}" for field in PLAN)
        assert database.table(f"SELECT {columns}").cast(PLAN).num_rows == 1


def test_a_query_that_needs_more_memory_continues_on_disk() -> None:
    with open_database("100MB") as database:
        database.run("CREATE TEMP TABLE t AS SELECT range AS i, sha256(range::VARCHAR) AS text FROM range(2000000)")
        assert database.spill_folder.exists()
        assert database.row("SELECT count(DISTINCT text) FROM t") == (2_000_000,)


def test_a_value_that_exceeds_the_limit_is_an_error() -> None:
    too_much = "SELECT string_agg(repeat('x', 1000), '') FROM range(1000000)"
    with open_database("50MB") as database:
        for call in (database.run, database.rows, database.table, lambda query: list(database.batches(query, 10))):
            with pytest.raises(MemoryLimitError):
                call(too_much)


def test_a_full_disk_of_temporary_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk:
        def execute(self, _query: str) -> None:
            raise duckdb.IOException('Could not write file "/tmp/x": No space left on device')

    with open_database() as database:
        monkeypatch.setattr(database, "connection", FullDisk())
        with pytest.raises(DiskFullError):
            database.run("SELECT 1")


def test_the_folder_is_removed_with_the_database() -> None:
    with open_database() as database:
        folder = database.folder
        assert folder.exists()
    assert not folder.exists()
