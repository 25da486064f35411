"""Stop a run when the raylet that it started ends, before Ray ends this process.

The raylet is the process of Ray that schedules tasks and holds the object store. After its end, Ray's library ends this
process with exit code 1 and without a message: at its next request to the object store, or when the node is marked as
dead, which takes 15 s. Until then, the run can still be stopped as after any other error.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import ray

from pipeline.errors import RayEndedError

if TYPE_CHECKING:
    from subprocess import Popen


@contextmanager
def raylet_watched(raylet: "Popen[bytes]") -> Iterator[None]:
    """Watch a raylet, which is a child of this process, so that the system reports its end with SIGCHLD.

    Python handles signals in the main thread only. In another thread, nothing is watched.

    Raises:
        RayEndedError: The raylet ended. It is raised at any point of the context.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def check(_signal: int, _frame: FrameType | None) -> None:
        if raylet.poll() is not None:
            signal.signal(signal.SIGCHLD, before)  # the error is raised once
            raise _ended(raylet)

    before = signal.signal(signal.SIGCHLD, check)
    try:
        check(signal.SIGCHLD, None)  # it may have ended before
        yield
    except RayEndedError:
        raise
    except Exception as error:
        if raylet.poll() is None:
            raise
        raise _ended(raylet) from error  # compiled code may replace the error of a signal handler
    finally:
        signal.signal(signal.SIGCHLD, before)


def _ended(raylet: "Popen[bytes]") -> RayEndedError:
    code = raylet.returncode
    return RayEndedError(
        f"Ray on this machine: its raylet ended with {f'signal {-code}' if code < 0 else f'code {code}'}"
    )


def local_raylet() -> "Popen[bytes]":
    """Return the raylet that `ray.init` started in this process, for which Ray has no public function."""
    node: Any = ray._private.worker._global_node  # noqa: SLF001
    raylet: Popen[bytes] = node.all_processes[ray._private.ray_constants.PROCESS_TYPE_RAYLET][0].process  # noqa: SLF001
    return raylet
