"""SQL types of nested columns."""

from pipeline.plan.sql_types import split_types, struct_fields


def test_sql_types_are_split_at_their_own_commas() -> None:
    assert split_types("VARCHAR, DECIMAL(10,2)[]") == ["VARCHAR", "DECIMAL(10,2)[]"]
    fields = struct_fields('STRUCT(a INTEGER, "b, ""c" STRUCT(d VARCHAR, e DOUBLE)[])')
    assert fields == [("a", "INTEGER"), ('b, "c', "STRUCT(d VARCHAR, e DOUBLE)[]")]
