"""Handle the rows that arrive from a flow: record them, count them, log their failures, and stop after too many."""

import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import SupersededError, TooManyFailuresError
from pipeline.execution.progress import RunProgress
from pipeline.output.record_writer import RecordWriter

RunLog: TypeAlias = "logging.LoggerAdapter[logging.Logger]"

LOGGED_FAILURES = 20  # failed rows of a run that are logged as warnings; all of them are in provenance
RECENT_ROWS = 1000
DEFAULT_SHARE = 0.99  # of recent rows that may fail without --max-failure-rate, so that a lost bucket stops a run


class FailureRate:
    """The share of failed rows among the last `RECENT_ROWS`.

    Args:
        output: The address of the output, for the error message.
        planned: The number of rows of the run.
        share: The share that may fail. In a smaller run it applies to all rows. None is `DEFAULT_SHARE`, and does not
            stop a smaller run.
    """

    def __init__(self, output: str, planned: int, share: float | None) -> None:
        self._output = output
        self._share = DEFAULT_SHARE if share is None else share
        self._rows = RECENT_ROWS if share is None else max(1, min(planned, RECENT_ROWS))
        self._recent: deque[bool] = deque(maxlen=RECENT_ROWS)

    def add(self, rows: int, failed: int) -> None:
        """Add finished rows. Raises `TooManyFailuresError` if too many of the last rows failed."""
        self._recent.extend([True] * failed + [False] * (rows - failed))
        recent = sum(self._recent)
        if recent / self._rows > self._share:
            raise TooManyFailuresError(
                f"{storage.redact(self._output)}: {recent} of the last {len(self._recent)} rows failed,"
                f" more than --max-failure-rate {self._share:g}"
            )


@dataclass
class Results:
    """The results of a run so far.

    Attributes:
        records: Writes the records of complete units.
        rate: Stops the run after too many failures.
        progress: Receives the numbers of rows.
        log: Receives the failures.
        counts: The numbers of `converted`, `failed` and `processed` rows, and of `detected` and `cached` control maps.
    """

    records: RecordWriter
    rate: FailureRate
    progress: RunProgress
    log: RunLog
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, rows: pa.Table) -> None:
        """Add finished rows, a table of `schemas.provenance.RecordRow` rows.

        Raises:
            TooManyFailuresError: Too many rows failed.
            StorageError: A record cannot be written.
        """
        rows = self.records.add(rows)
        failed = rows.filter(_is_failure(rows))
        _log_failures(failed, self.counts["failed"], self.log)
        converted = pc.sum(pc.equal(rows["status"], "done")).as_py() or 0
        self.counts.update(failed=failed.num_rows, converted=converted, processed=rows.num_rows, **_count_maps(rows))
        self.progress.advance(self.counts["processed"] - self.counts["failed"], self.counts["failed"])
        self.rate.add(rows.num_rows, failed.num_rows)


def _is_failure(rows: pa.Table) -> pa.ChunkedArray:
    """Return whether each row is a failure that counts: superseded rows do not."""
    code = pc.fill_null(pc.struct_field(rows["failure"], "code"), SupersededError.code)
    return pc.not_equal(code, SupersededError.code)


def _count_maps(rows: pa.Table) -> dict[str, int]:
    """Count the control maps that were detected for these rows, and those that were detected for other rows before."""
    controls = pc.list_flatten(rows["controls"])
    found = controls.filter(pc.fill_null(pc.equal(pc.struct_field(controls, "origin"), "detected"), fill_value=False))
    cached = pc.sum(pc.struct_field(found, "cached")).as_py() or 0
    return {"detected": len(found) - cached, "cached": cached}


def _log_failures(failed: pa.Table, earlier: int, log: RunLog) -> None:
    """Log failed rows: the first `LOGGED_FAILURES` of a run as warnings, the others at level debug."""
    for number, row in enumerate(failed.select(["unit", "photo_id", "failure"]).to_pylist(), earlier):
        level = logging.WARNING if number < LOGGED_FAILURES else logging.DEBUG
        photo, failure = row["photo_id"], row["failure"]
        extra = {**(log.extra or {}), "unit": row["unit"], "photo": photo, "code": failure["code"]}
        log.logger.log(level, "%s: %s: %s", photo, failure["code"], failure["message"], extra=extra)
