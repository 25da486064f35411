"""Sealed files: every changed bit is found, and other Parquet readers read them."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage

TABLE = pa.table({"id": ["a", "0" * 64, None], "number": [1, 2, 3]})


def test_a_sealed_file_is_a_parquet_file(tmp_path: Path) -> None:
    content = storage.sealed_content(TABLE.replace_schema_metadata({"folder": "x"}), statistics=["id"])
    storage.put(str(tmp_path / "a"), content)
    assert pq.read_table(io.BytesIO(content)) == TABLE
    read = storage.read_sealed(str(tmp_path / "a"), ["number", "id"])
    assert (read.column_names, read.schema.metadata[b"folder"]) == (["number", "id"], b"x")
    assert pq.read_metadata(io.BytesIO(content)).metadata[b"sha256"] != b"0" * 64


@pytest.mark.parametrize("options", [{}, {"statistics": False, "store_schema": False}])
def test_every_changed_bit_is_found(options: dict[str, bool]) -> None:
    content = storage.sealed_content(TABLE, **options)  # type: ignore[arg-type]
    storage.check_seal(content)
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            with pytest.raises(ValueError, match="seal"):
                storage.check_seal(bytes(damaged))


@pytest.mark.parametrize("change", [lambda content: content[:-9], lambda content: content + b"x", lambda _: b""])
def test_files_of_another_length_are_found(change: object, tmp_path: Path) -> None:
    storage.put(str(tmp_path / "a"), change(storage.sealed_content(TABLE)))  # type: ignore[operator]
    with pytest.raises(ValueError, match="seal"):
        storage.read_sealed(str(tmp_path / "a"))


def test_a_file_without_a_seal_is_refused(tmp_path: Path) -> None:
    storage.put_table(str(tmp_path / "a"), TABLE)
    with pytest.raises(ValueError, match="missing"):
        storage.read_sealed(str(tmp_path / "a"))


def test_a_changed_page_of_an_unsealed_file_is_found(tmp_path: Path) -> None:
    storage.put_table(str(tmp_path / "a"), TABLE)
    content = bytearray((tmp_path / "a").read_bytes())
    chunk = pq.read_metadata(tmp_path / "a").row_group(0).column(1)
    content[chunk.dictionary_page_offset + chunk.total_compressed_size - 1] ^= 1
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        storage.read_table(str(tmp_path / "a"))
