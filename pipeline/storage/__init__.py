"""Read and write files at any fsspec address: one atomic put, retries, and no credentials in messages.

A local path is an address too. Errors of the storage libraries leave this package as `StorageFault`; `attempt` alone
lets them through, for the step that records them for each photo.
"""

from pipeline.storage.addresses import CLOUD_SCHEMES, PUBLIC_SCHEMES, absolute, filesystem, join, local_path
from pipeline.storage.objects import (
    check_credentials,
    exists,
    files,
    is_folder,
    names,
    put,
    put_table,
    read,
    read_if_there,
    read_once,
    read_table,
    remove,
    sweep,
)  # fmt: skip
from pipeline.storage.redaction import WEB_SCHEMES, redact, redact_all, redact_text
from pipeline.storage.retry import ATTEMPTS, as_fault, attempt, errors, transient, translated

__all__ = [
    "ATTEMPTS", "CLOUD_SCHEMES", "PUBLIC_SCHEMES", "WEB_SCHEMES", "absolute", "as_fault", "attempt",
    "check_credentials", "errors", "exists", "files", "filesystem", "is_folder", "join", "local_path", "names", "put",
    "put_table", "read", "read_if_there", "read_once", "read_table", "redact", "redact_all", "redact_text", "remove",
    "sweep", "transient", "translated",
]  # fmt: skip
