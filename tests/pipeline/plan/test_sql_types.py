"""SQL types of nested columns."""

from pipeline.plan.sql_types import is_deeper, split_types, struct_fields


def test_sql_types_are_split_at_their_own_commas() -> None:
    assert split_types("VARCHAR, DECIMAL(10,2)[]") == ["VARCHAR", "DECIMAL(10,2)[]"]
    fields = struct_fields('STRUCT(a INTEGER, "b, ""c" STRUCT(d VARCHAR, e DOUBLE)[])')
    assert fields == [("a", "INTEGER"), ('b, "c', "STRUCT(d VARCHAR, e DOUBLE)[]")]


def test_the_depth_of_a_type_is_that_of_its_deepest_part() -> None:
    assert not is_deeper("VARCHAR", 0)
    assert not is_deeper("DECIMAL(10,2)[]", 1)
    assert is_deeper("DECIMAL(10,2)[]", 0)
    assert is_deeper("STRUCT(a INTEGER, b MAP(VARCHAR, INTEGER[]))", 2)
    assert not is_deeper("STRUCT(a INTEGER, b MAP(VARCHAR, INTEGER[]))", 3)
