"""Describe the process that holds the lease of an output, and find out whether it is alive."""

import getpass
import json
import os
import socket
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from pipeline import storage
from pipeline.errors import LeaseLostError

_PROCESS = Path("/proc")  # of Linux
_ENDED_STATES = ("Z", "X")  # a killed process stays a zombie until its parent waits for it


@dataclass(frozen=True)
class LeaseHolder:
    """A process that holds, or held, the lease of an output.

    Attributes:
        holder: A random identifier, which is different for each lease.
        command: The command, such as `convert`.
        run_id: The identifier of the run, or None for another command.
        host: The name of the machine.
        user: The name of the user.
        pid: The number of the process.
        process_start: The start of the process in ticks since the boot of the machine. None if it is unknown.
        machine: The boot id of the machine and the process namespace of the container. None if they are unknown.
        started: When the process acquired the lease, UTC in ISO 8601.
        written: When the lease was acquired or renewed, UTC in ISO 8601.
    """

    holder: str
    command: str
    run_id: str | None
    host: str
    user: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    process_start: int | None
    machine: str | None
    started: str
    written: str

    def __str__(self) -> str:
        """Return what a user needs to find the process."""
        return f"{self.command} of {self.user} on {self.host}, process {self.pid}, since {self.started}"

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the process belongs to this machine and container, so that `has_ended` knows whether it is alive."""
        return self.machine is not None and (self.host, self.machine) == (socket.gethostname(), _machine())

    @property
    def has_ended(self) -> bool:
        """Whether the process no longer exists on this machine. A stopped process still exists."""
        if not self.is_on_this_machine:
            return False
        try:
            os.kill(self.pid, 0)  # sends no signal, and raises an error if the process does not exist
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # the process belongs to another user
        state, start = _state_and_start(self.pid)
        return state in _ENDED_STATES or (start is not None and start != self.process_start)

    def to_json(self) -> bytes:
        """Return the content of the file of a lease, which is written now."""
        return json.dumps(asdict(self) | {"written": _now()}, indent=2).encode()


_HOLDER = TypeAdapter(LeaseHolder)


def lost_error(output: str, successor: LeaseHolder | None) -> LeaseLostError:
    """Return the error of a process that has lost its lease. `successor` is None if no process has the lease now."""
    deleted = "the lease was deleted, or another process took it over and has finished"
    reason = deleted if successor is None else f"{successor} took it over"
    return LeaseLostError(f"{storage.redact(output)}: {reason}")


def this_process(command: str, run_id: str | None) -> LeaseHolder:
    """Return a new holder for this process."""
    now = _now()
    return LeaseHolder(
        holder=uuid.uuid4().hex,
        command=command,
        run_id=run_id,
        host=socket.gethostname(),
        user=_user(),
        pid=os.getpid(),
        process_start=_state_and_start(os.getpid())[1],
        machine=_machine(),
        started=now,
        written=now,
    )


def from_json(content: bytes) -> LeaseHolder | None:
    """Read the content of the file of a lease. Returns None if it is invalid."""
    try:
        return _HOLDER.validate_json(content, strict=True)
    except ValidationError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return str(os.getuid())


def _machine() -> str | None:
    """Return the boot id of this machine and the namespace of its process numbers, which each container may have."""
    with suppress(OSError):
        boot = (_PROCESS / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
        return f"{boot} {(_PROCESS / 'self' / 'ns' / 'pid').readlink()}"
    return None


def _state_and_start(pid: int) -> tuple[str, int | None]:
    """Return the state of a process, such as `R`, and its start in ticks since the boot, if they are known."""
    with suppress(OSError, IndexError, ValueError):
        # The name of the program comes before, in parentheses, and may contain spaces and parentheses.
        values = (_PROCESS / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return values[0], int(values[19])
    return "", None
