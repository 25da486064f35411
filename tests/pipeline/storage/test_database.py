"""Databases: files at any address, a limit for memory, interruption, and quoted names and texts."""

import os
import signal
import threading
from types import FrameType

import duckdb
import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import DiskFullError, InterruptedRunError, MemoryLimitError
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


@pytest.mark.parametrize("call", ["run", "rows", "table", "columns", "batches"])
def test_a_signal_interrupts_every_kind_of_statement(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    interrupted = threading.Event()

    class Busy:
        def execute(self, _query: str) -> None:
            os.kill(os.getpid(), signal.SIGUSR1)
            interrupted.wait()
            raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")

        sql = execute

        def interrupt(self) -> None:
            interrupted.set()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise InterruptedRunError("interrupted")

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with open_database() as database, monkeypatch.context() as patched:
            patched.setattr(database, "connection", Busy())
            with pytest.raises(InterruptedRunError):
                list(database.batches("", 1)) if call == "batches" else getattr(database, call)("")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert interrupted.is_set()


def test_a_database_is_usable_after_a_part_of_the_batches() -> None:
    with open_database() as database:
        batches = database.batches("SELECT * FROM range(1000000)", 10)
        assert next(batches).num_rows
        batches.close()
        assert database.row("SELECT 1") == (1,)


def test_the_folder_is_removed_with_the_database() -> None:
    with open_database() as database:
        folder = database.folder
        assert folder.exists()
    assert not folder.exists()
