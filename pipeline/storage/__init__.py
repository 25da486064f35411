"""Read and write files at local paths and fsspec addresses.

Writes are atomic, temporary errors are retried, and error messages contain no credentials. The errors of the storage
libraries are raised as `StorageError` or `DiskFullError`. Only `with_retries` and `limited_read.read_limited` pass them
on unchanged, because the fetch step records them for each photo.
"""

from pipeline.storage.addresses import CLOUD_SCHEMES, PUBLIC_SCHEMES, absolute, filesystem, join, local_path, resolved
from pipeline.storage.objects import (
    check_credentials,
    check_writable,
    exists,
    file_names,
    files,
    folders,
    is_file,
    is_folder,
    names,
    put,
    put_new,
    put_table,
    read,
    read_if_exists,
    read_table,
    remove,
    remove_partial_files,
    write_access_reported,
)  # fmt: skip
from pipeline.storage.redaction import WEB_SCHEMES, escape, redact, redact_all, redact_message, redact_text
from pipeline.storage.requests import remaining_seconds, time_limit
from pipeline.storage.retry import ATTEMPTS, as_error, is_transient, translate_errors, with_retries
from pipeline.storage.sealed import check_seal, read_sealed, sealed_content

__all__ = [
    "ATTEMPTS", "CLOUD_SCHEMES", "PUBLIC_SCHEMES", "WEB_SCHEMES", "absolute", "as_error", "check_credentials",
    "check_seal", "check_writable", "escape", "exists", "file_names", "files", "filesystem", "folders", "is_file",
    "is_folder", "is_transient", "join", "local_path", "names", "put", "put_new", "put_table", "read", "read_if_exists",
    "read_sealed", "read_table", "redact", "redact_all", "redact_message", "redact_text", "remaining_seconds",
    "remove", "remove_partial_files", "resolved", "sealed_content", "time_limit", "translate_errors", "with_retries",
    "write_access_reported",
]  # fmt: skip
