"""Run a function in Ray tasks, some at a time."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
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
    running: dict[Future[R], ray.ObjectRef[R]] = {}
    try:
        for each in arguments:
            if len(running) == most:
                yield _next_result(running)
            reference = task.remote(*each)
            running[reference.future()] = reference
        while running:
            yield _next_result(running)
    except ray.exceptions.RayError as error:
        raise run_stopped_error(error) from error
    finally:
        with suppress(ray.exceptions.RayError):  # the error that ended the loop is more important
            for reference in running.values():
                ray.cancel(reference)


def _next_result(running: "dict[Future[R], ray.ObjectRef[R]]") -> R:
    """Wait for the first task that finishes, remove it, and return its result.

    It waits for futures, because `ray.wait` handles an interruption only when a task finishes, and then fails.
    """
    future = wait(running, return_when=FIRST_COMPLETED).done.pop()
    del running[future]
    return future.result()


def cluster_cores() -> int:
    """Return the number of cores of the connected Ray cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
