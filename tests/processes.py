"""Find and end the processes of a program that was started with its own temporary folder, Ray's included."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import subprocess


def processes_of(folder: str) -> list[psutil.Process]:
    """Return the processes whose TMPDIR is a folder, or whose command contains it."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get("TMPDIR") == folder or folder in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has ended
            continue
    return [process for process in found if process.pid != os.getpid()]


@contextmanager
def ended_afterwards(process: "subprocess.Popen[bytes] | subprocess.Popen[str]", folder: str) -> Iterator[None]:
    """End a program after the block, and all processes of its temporary folder."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        members = processes_of(folder)
        for member in members:
            member.kill()
        psutil.wait_procs(members)
