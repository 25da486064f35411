"""Manifests of CSV: the first line is the header, no row is lost, and values stay as they are written."""

import csv
import gzip
from pathlib import Path

import pytest

from pipeline.errors import ColumnTypeError, DuplicateColumnError, ManifestFormatError, MissingColumnError
from tests.pipeline.plan.test_manifest import read


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
@pytest.mark.parametrize("last", ["", "b,/b.jpg\n"])
def test_a_line_that_is_longer_than_the_buffer_of_the_reader_is_refused(tmp_path: Path, ending: str, last: str) -> None:
    text = f"photo_id,uri\na,/a.jpg\n{'x' * 34_000_000},/x.jpg\n{last}".encode()
    path = tmp_path / f"m.{ending}"
    path.write_bytes(gzip.compress(text, 1) if ending == "csv.gz" else text)
    with pytest.raises(ManifestFormatError):
        read(str(path))


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv"])
def test_csv_is_read_with_the_types_of_known_columns(tmp_path: Path, ending: str) -> None:
    separator = "\t" if ending == "tsv" else ","
    box = '"[{""x"": 1, ""y"": 2, ""w"": 3, ""h"": 4, ""category"": ""cat""}]"'
    lines = [["photo_id", "uri", "width", "etag", "boxes", "note", "score"]]
    lines += [["007", "a.jpg", "640", "0123", box, "plain", "1.50"], ["008", "", "", "", "", "", "2"]]
    text = "\n".join(separator.join(line) for line in lines) + "\n"
    path = tmp_path / f"m.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    first, second = read(str(path))
    assert (first["photo_id"], first["uri"], first["width"]) == ("007", f"{tmp_path}/a.jpg", 640)
    assert (first["etag"], first["score"], first["note"]) == ("0123", "1.50", "plain")
    assert first["boxes"] == [{"x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0, "category": "cat"}]
    assert (second["photo_id"], second["uri"], second["width"]) == ("008", None, None)


@pytest.mark.parametrize("header", ["photo_id,uri,uri", "photo_id;uri;URI", '"Photo_id","uri","photo_id"'])
def test_a_duplicate_column_of_a_csv_file_is_refused(tmp_path: Path, header: str) -> None:
    separator = ";" if ";" in header else ","
    (tmp_path / "1.csv").write_text("photo_id,uri\na,/a.jpg\n")
    (tmp_path / "2.csv").write_text(f"{header}\n{separator.join('bcd')}\n")
    with pytest.raises(DuplicateColumnError, match=r"2\.csv"):
        read(f"{tmp_path}/*.csv")
    assert [row["photo_id"] for row in read(str(tmp_path / "1.csv"))] == ["a"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("width", "640.5"),
        ("height", "tall"),
        ("modified", "yesterday"),
        ("boxes", '"[{""x"": 1, ""lable"": ""cat""}]"'),
        ("keypoints", "1 2"),
    ],
)
def test_an_invalid_value_in_a_late_row_of_a_csv_file_is_refused(tmp_path: Path, column: str, value: str) -> None:
    rows = [f"{number},/p/{number}," for number in range(30_000)]
    (tmp_path / "m.csv").write_text("\n".join([f"photo_id,uri,{column}", *rows, f"x,/x,{value}"]) + "\n")
    with pytest.raises(ColumnTypeError, match="row 30000"):
        read(str(tmp_path / "m.csv"))


def test_the_values_of_a_csv_file_stay_as_they_are_written(tmp_path: Path) -> None:
    content = '\ufeff2,photo_id,uri,day\r\n007,a,/a.jpg,01/02/2026\r\n1e3,b,/b.jpg," x"\r\n'
    (tmp_path / "m.csv").write_bytes(content.encode())
    assert [(row["2"], row["day"]) for row in read(str(tmp_path / "m.csv"))] == [("007", "01/02/2026"), ("1e3", " x")]


def test_no_row_of_a_csv_file_is_a_comment(tmp_path: Path) -> None:
    rows = [f"#{number},/p/{number},plain" for number in range(4)]
    rows += [f"p{number},/p/{number},#best photo" for number in range(6)]
    (tmp_path / "m.csv").write_text("\n".join(["photo_id,uri,prompt", *rows]) + "\n")
    found = read(str(tmp_path / "m.csv"))
    assert len(found) == 10
    assert [row["prompt"] for row in found] == ["plain"] * 4 + ["#best photo"] * 6


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (["a,/a", "photo_id,uri,title", "b,/b,x", "c,/c,y", "d,/d,z"], 3),  # two files, one after the other
        (["a,/a", "b", "c,/c"], 3),
        (["a,/a,x", "b,/b"], 2),
        (["a,/a", 'b,"/b"x'], 3),
        ([*(f"{number},/p/{number}" for number in range(30_000)), "x,/x,y"], 30_002),
    ],
)
def test_rows_with_other_values_than_the_header_are_refused(tmp_path: Path, rows: list[str], line: int) -> None:
    (tmp_path / "m.csv").write_text("\n".join(["photo_id,uri", *rows]) + "\n")
    with pytest.raises(ManifestFormatError, match=rf"Line: {line}\b"):
        read(str(tmp_path / "m.csv"))


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_other_delimiters_are_text(tmp_path: Path, delimiter: str, line_end: str) -> None:
    others = "".join({",", ";", "\t", "|"} - {delimiter})
    rows = [["photo_id", "uri", "title"], *([name, f"/{name}.jpg", f"a{others}b{others}c"] for name in "abc")]
    (tmp_path / "m.csv").write_bytes(line_end.join(delimiter.join(row) for row in rows).encode())
    assert [(row["photo_id"], row["title"]) for row in read(str(tmp_path / "m.csv"))] == [
        (name, f"a{others}b{others}c") for name in "abc"
    ]


def test_files_may_have_columns_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("photo_id,uri,title\na,/a.jpg,one\n")
    (tmp_path / "2.tsv").write_text("note\turi\tphoto_id\ntwo\t/b.jpg\tb\n")
    (tmp_path / "3.csv").write_text('photo_id,uri,title\nc,/c.jpg,"three\nlines, ""quoted"""\n')
    found = {row["photo_id"]: (row["uri"], row["title"], row["note"]) for row in read(f"{tmp_path}/*.?sv")}
    assert found == {
        "a": ("/a.jpg", "one", None),
        "b": ("/b.jpg", None, "two"),
        "c": ("/c.jpg", 'three\nlines, "quoted"', None),
    }


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_quoted_values_may_have_line_breaks(tmp_path: Path, line_end: str) -> None:
    rows = [["photo_id", "uri", "title"], ["a", "/a.jpg", 'one\n"two"\n'], ["b", "/b.jpg", "\n"]]
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator=line_end).writerows(rows)
    assert [row["title"] for row in read(str(tmp_path / "m.csv"))] == ['one\n"two"\n', "\n"]
    (tmp_path / "m.csv").write_text('photo_id,uri,"a\ntitle"\na,/a.jpg,x\n')
    with pytest.raises(ManifestFormatError, match="line break"):
        read(str(tmp_path / "m.csv"))


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8bno gzip", gzip.compress(b"photo_id,uri\na,/a.jpg\n" * 99)[:60], b"text"],
    ids=["invalid", "cut", "text"],
)
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.csv.gz").write_bytes(content)
    with pytest.raises(ManifestFormatError):
        read(str(tmp_path / "m.csv.gz"))


def test_columns_without_a_name_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(",photo_id,uri,\n0,a,/a.jpg,x\n")
    (row,) = read(str(tmp_path / "m.csv"))
    assert (row["column0"], row["photo_id"], row["column3"]) == ("0", "a", "x")


@pytest.mark.parametrize("text", ["", "\n", "# photos\nphoto_id,uri\na,/a.jpg\n"])
def test_the_first_line_is_the_header(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(MissingColumnError):
        read(str(tmp_path / "m.csv"))
