"""Compare the content of image files with their records in Ray tasks, so that all machines of a cluster read files."""

from collections.abc import Iterable, Iterator

import ray

from pipeline.execution.ray_errors import run_stopped_error
from pipeline.output.file_content import RecordedFile, altered_files

FILES = 512  # of one task, which takes seconds
TASKS_PER_CPU = 2  # that are started or waiting, so that no CPU waits for this process


def altered_files_on_ray(output: str, batches: Iterable[list[RecordedFile]]) -> Iterator[RecordedFile]:
    """Read files in Ray tasks, each file once, and return those that differ from their record.

    Ray must be connected, see `pipeline.execution.cluster`.

    Raises:
        RunStoppedError: A file cannot be read, or Ray failed.
    """
    check = ray.remote(_altered)
    most = TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
    running: list[ray.ObjectRef[list[RecordedFile]]] = []
    try:
        for files in _tasks(batches):
            running.append(check.remote(output, files))
            if len(running) >= most:
                finished, running = ray.wait(running)
                yield from _results(finished)
        yield from _results(running)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error


def _altered(output: str, files: list[RecordedFile]) -> list[RecordedFile]:
    return list(altered_files(output, [files]))


def _tasks(batches: Iterable[list[RecordedFile]]) -> Iterator[list[RecordedFile]]:
    for batch in batches:
        yield from (batch[start : start + FILES] for start in range(0, len(batch), FILES))


def _results(finished: "list[ray.ObjectRef[list[RecordedFile]]]") -> Iterator[RecordedFile]:
    for reference in finished:
        yield from ray.get(reference)
