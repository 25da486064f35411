"""Steps that write the time of their calls to files, for `photo2anime bench start`."""

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from jobs.bench.events import EventFile
from pipeline.steps.chain import BatchLoader, Chain, Committer, Step
from schemas.work import Failed, Planned, Unit

# The libraries that take most of the time of creating a step, by the name of the step.
LIBRARIES = {"control maps": "pipeline.detectors.base", "convert": "pipeline.diffusion.generator"}


class TimedStep:
    """Applies a step, and writes its events: the import of its libraries, its creation and its calls.

    Args:
        step: The step.
        folder: The folder of the events.
    """

    def __init__(self, step: Step, folder: str) -> None:
        self._events = EventFile(folder, step.name)
        begin = time.time()
        if step.name in LIBRARIES:
            importlib.import_module(LIBRARIES[step.name])
            self._events.write("import libraries", begin)
        begin = time.time()
        self._function = step.create()
        if step.holds_models:
            self._events.write("load models", begin)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Apply the step."""
        begin = time.time()
        result = self._function(rows)
        self._events.write(f"{rows.num_rows} rows", begin)
        return result


@dataclass(frozen=True)
class TimedLoader:
    """Loads the rows of units, and writes the time of each batch."""

    load: BatchLoader
    folder: str

    def rows(self, unit: Unit) -> list[Planned]:
        """Return the rows of a unit."""
        return self.load.rows(unit)

    def batches(self, unit: Unit) -> Iterator[pa.Table]:
        """Yield the batches of a unit."""
        events, begin = EventFile(self.folder, "load and fetch"), time.time()
        for rows in self.load.batches(unit):
            events.write(f"{rows.num_rows} rows", begin)
            yield rows
            begin = time.time()


class TimedCommit:
    """Commits rows, and writes the time of each call."""

    def __init__(self, commit: Committer, folder: str) -> None:
        self.output, self._commit = commit.output, commit
        self._events = EventFile(folder, "commit")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Commit rows."""
        begin = time.time()
        result = self._commit(table)
        self._events.write(f"{table.num_rows} rows", begin)
        return result

    def record_failures(self, rows: Sequence[Failed]) -> pa.Table:
        """Return the rows of provenance of failed rows."""
        return self._commit.record_failures(rows)


def timed_chain(chain: Chain, folder: str) -> Chain:
    """Return a chain that writes its events to a folder."""
    steps = [
        replace(step, function=TimedStep, arguments={"step": step, "folder": folder})
        if step.holds_models
        else replace(step, function=TimedStep(step, folder))
        for step in chain.steps
    ]
    return Chain(TimedLoader(chain.load, folder), steps, TimedCommit(chain.commit, folder))
