"""Compare the content of image files with their records in Ray tasks, so that all machines of a cluster read files."""

from collections.abc import Iterable, Iterator

from pipeline.execution.ray_tasks import cluster_cores, run_tasks
from pipeline.output.file_content import RecordedFile, altered_files

FILES = 512  # of one task, which takes seconds
TASKS_PER_CPU = 2  # that are started or waiting, so that no CPU waits for this process


def altered_files_on_ray(output: str, batches: Iterable[list[RecordedFile]]) -> Iterator[RecordedFile]:
    """Read files in Ray tasks, each file once, and return those that differ from their record.

    Ray must be connected, see `pipeline.execution.cluster`.

    Raises:
        RunStoppedError: A file cannot be read, or Ray failed.
    """
    arguments = ((output, files) for files in _tasks(batches))
    for altered in run_tasks(_altered, arguments, TASKS_PER_CPU * cluster_cores()):
        yield from altered


def _altered(output: str, files: list[RecordedFile]) -> list[RecordedFile]:
    return list(altered_files(output, [files]))


def _tasks(batches: Iterable[list[RecordedFile]]) -> Iterator[list[RecordedFile]]:
    for batch in batches:
        yield from (batch[start : start + FILES] for start in range(0, len(batch), FILES))
