"""Signals stop a command once, and the clean-up of a stopped command is not interrupted."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jobs.interruption import SIGNALS, stop_on_signals
from pipeline.errors import InterruptedRunError

# A command that sends some signals to itself, all but the first one while it cleans up.
COMMAND = """
import os, signal
from jobs.app import run_command

def command():
    try:
        signal.raise_signal(signal.{first})
    finally:
        for number in range({later}):
            signal.raise_signal(signal.SIGINT)
        print("cleaned up", flush=True)

run_command(command)
"""


@pytest.fixture(autouse=True)
def _handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(first: str, later: int) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", COMMAND.format(first=first, later=later)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("hang_up_not_ignored")
@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_signal_does_not_interrupt_the_clean_up(first: str) -> None:
    done = run(first, 1)
    assert (done.returncode, done.stdout) == (InterruptedRunError.exit_code, "cleaned up\n")
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"[{InterruptedRunError.code}]")


def test_a_third_signal_ends_the_process_at_once() -> None:
    done = run("SIGTERM", 2)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


def test_a_hang_up_that_was_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals()
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(InterruptedRunError):
        signal.raise_signal(signal.SIGTERM)
