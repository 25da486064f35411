"""A holder of a lease on this machine is known to be alive, stopped or ended."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import OutputInUseError
from pipeline.output import lease_holder
from pipeline.output.lease import lease_of

ACQUIRE = (
    "import sys; from pipeline.output.lease import Lease; Lease(sys.argv[1], 'convert').acquire(); print(flush=True)"
)


def test_the_content_of_a_lease_is_read_as_written() -> None:
    holder = lease_holder.this_process("convert", "run-1")
    found = lease_holder.from_json(holder.to_json())
    assert found is not None
    assert replace(found, written=holder.written) == holder
    for content in (b"", b"[]", b"{}", b"\xff"):
        assert lease_holder.from_json(content) is None


def test_the_lease_of_a_killed_process_is_taken_over_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = str(tmp_path)
    monkeypatch.setattr("pipeline.output.lease.time.sleep", lambda _seconds: pytest.fail("it was waited for"))
    process = subprocess.Popen([sys.executable, "-c", f"{ACQUIRE}; sys.stdin.read()", output], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    with lease_of(output, "convert") as lease:
        with pytest.raises(OutputInUseError, match=str(process.pid)):  # a stopped process may continue
            lease.acquire()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        lease.acquire()
        assert storage.names(f"{output}/_lease") == ["2.json"]
    process.communicate()


def test_a_process_has_ended_if_its_number_belongs_to_a_younger_one() -> None:
    holder = lease_holder.this_process("convert", None)
    assert holder.is_on_this_machine
    assert not holder.has_ended
    assert holder.process_start is not None
    assert replace(holder, process_start=holder.process_start - 1).has_ended
    assert replace(holder, pid=2**22 + 1).has_ended  # more than Linux allows
    assert not replace(holder, pid=2**22 + 1, machine="another boot").has_ended
    assert not replace(holder, pid=2**22 + 1, machine=None).has_ended
