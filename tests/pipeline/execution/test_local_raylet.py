"""The end of the raylet stops the run, with a real process in the place of the raylet."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from pipeline.errors import RayEndedError
from pipeline.execution.local_raylet import raylet_watched

LIMIT = 60  # seconds


@pytest.fixture
def raylet() -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process that ends when its standard input is closed, with code 3."""
    code = "import sys; sys.stdin.read(); sys.exit(3)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    threading.Event().wait(LIMIT)


def end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.close()
    threading.Event().wait(LIMIT)


@pytest.mark.parametrize(("stop", "reason"), [(kill, "signal 9"), (end, "code 3")])
def test_the_end_of_the_raylet_interrupts_the_main_thread(
    raylet: "subprocess.Popen[bytes]", stop: Callable[["subprocess.Popen[bytes]"], None], reason: str
) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(RayEndedError, match=reason), raylet_watched(raylet):
        stop(raylet)
    assert signal.getsignal(signal.SIGCHLD) is before


def test_the_end_of_another_process_is_no_error(raylet: "subprocess.Popen[bytes]") -> None:
    with raylet_watched(raylet):
        subprocess.run([sys.executable, "-c", ""], check=True)


def test_a_raylet_that_ended_before_is_an_error(raylet: "subprocess.Popen[bytes]") -> None:
    raylet.kill()
    raylet.wait()
    with pytest.raises(RayEndedError), raylet_watched(raylet):
        pytest.fail("it was not watched")


def test_an_error_after_the_end_of_the_raylet_is_replaced(raylet: "subprocess.Popen[bytes]") -> None:
    def fail() -> None:
        try:
            raylet.kill()
            threading.Event().wait(LIMIT)
        except RayEndedError as error:
            raise SystemError from error

    with pytest.raises(RayEndedError), raylet_watched(raylet):
        fail()


def test_another_error_is_not_replaced(raylet: "subprocess.Popen[bytes]") -> None:
    with pytest.raises(ValueError, match="other"), raylet_watched(raylet):
        raise ValueError("other")
