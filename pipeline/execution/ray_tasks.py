"""Run a function in Ray tasks, some at a time."""

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import ray

from pipeline.execution.ray_errors import run_stopped_error

R = TypeVar("R")


def run_tasks(function: Callable[..., R], arguments: Iterable[tuple[Any, ...]], most: int) -> Generator[R, None, None]:
    """Call a function with each of some arguments, in tasks of one core of the connected Ray cluster.

    Args:
        function: The function.
        arguments: The arguments of each task. They are taken as tasks finish.
        most: The largest number of tasks that are started and not finished.

    Yields:
        The results, in the order in which the tasks finish.

    Raises:
        RunStoppedError: A task failed.
    """
    task = ray.remote(function).options(num_cpus=1)
    running: list[ray.ObjectRef[R]] = []
    try:
        for each in arguments:
            if len(running) == most:
                (finished,), running = ray.wait(running)
                yield ray.get(finished)
            running.append(task.remote(*each))
        while running:
            (finished,), running = ray.wait(running)
            yield ray.get(finished)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
    finally:
        with suppress(ray.exceptions.RayError):  # the error that ended the loop is more important
            for reference in running:
                ray.cancel(reference)


def cluster_cores() -> int:
    """Return the number of cores of the connected Ray cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
