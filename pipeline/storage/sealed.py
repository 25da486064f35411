"""Parquet files with a seal: the SHA-256 of all their bytes, as an entry `sha256` of their own metadata.

The digest is that of the file with zeros in the place of the seal. A seal covers what the checksums of pages do not:
the headers of pages, the schema, and the statistics, which let queries skip a file.
"""

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage import objects

_KEY = "sha256"
_ZEROS = "0" * 64
# The key, and the type and the length of the value as Parquet encodes them (the compact protocol of Thrift). The entry
# is found by these bytes, so that the footer of a damaged file is not decoded.
_BEFORE_SEAL = _KEY.encode() + b"\x18\x40"


def sealed_content(table: pa.Table, *, statistics: bool | list[str] = True, store_schema: bool = True) -> bytes:
    """Return the content of a sealed Parquet file.

    Args:
        table: The rows. The metadata of its schema are stored only with `store_schema`.
        statistics: The columns whose smallest and largest values are stored, or whether those of all columns are.
        store_schema: Whether to store the Arrow schema too.
    """
    buffer = io.BytesIO()
    options = {"write_statistics": statistics, "store_schema": store_schema, "write_page_checksum": True}
    with pq.ParquetWriter(buffer, table.schema, compression="zstd", **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY: _ZEROS})
    content = buffer.getvalue()
    start = content.rindex(_BEFORE_SEAL + _ZEROS.encode()) + len(_BEFORE_SEAL)
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[start + len(_ZEROS) :]


def check_seal(content: bytes) -> None:
    """Check that no byte of a sealed file was changed.

    Raises:
        ValueError: The file has no seal, or its content differs from its seal.
    """
    start = content.rfind(_BEFORE_SEAL) + len(_BEFORE_SEAL)
    if start < len(_BEFORE_SEAL):
        raise ValueError("the seal is missing")
    end = start + len(_ZEROS)
    digest = hashlib.sha256(content[:start] + _ZEROS.encode() + content[end:]).hexdigest()
    if content[start:end] != digest.encode():
        raise ValueError("the content differs from its seal")


def read_sealed(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Check the seal of a Parquet file, and read it as `read_table` does.

    Raises:
        ValueError: The file has no seal, or its content differs from its seal.
        pa.ArrowException: The file is not valid Parquet.
        KeyError: A column is missing.
    """
    content = objects.read(uri)
    check_seal(content)
    return objects.decode_table(content, columns)
