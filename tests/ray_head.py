"""The Ray cluster of a test session, shared by its test processes: `python -m tests.ray_head PID FILE`.

pytest-xdist runs tests in several processes. The first of them that needs Ray starts this program, and all connect to
the address that it writes to FILE. It stops Ray when the process PID, which is pytest itself, has ended for any
reason; so a crashed test process leaves nothing behind.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
# Images are compared byte for byte, so that they are made on the CPU. Ray passes these variables on to its workers.
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
CPUS, GPUS = 3, 1
"""The resources of the machine as Ray sees them. With a GPU, converters run in separate actors."""
POLL_SECONDS = 0.2


def start(owner: int, folder: Path) -> str:
    """Return the address of the session's Ray; start it first if `folder`, which test processes share, has none.

    `owner` is the process whose end stops Ray.
    """
    address, log = folder / "ray.address", folder / "ray.log"
    if not address.exists():
        command = [sys.executable, "-m", "tests.ray_head", str(owner), str(address)]
        environment = os.environ | NO_GPU | {"RAY_BACKEND_LOG_LEVEL": "fatal"}
        with log.open("wb") as sink:
            head = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=sink, stderr=sink, start_new_session=True
            )
        while not address.exists():
            assert head.poll() is None, log.read_text()
            time.sleep(POLL_SECONDS)
    return address.read_text()


def main(owner: int, address: Path) -> None:
    """Run Ray until the process `owner` has ended."""
    import ray

    session = psutil.Process(owner)
    with tempfile.TemporaryDirectory(prefix="ray-t", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local", num_cpus=CPUS, num_gpus=GPUS, include_dashboard=False, _temp_dir=folder,
            log_to_driver=False, logging_level="ERROR",
        )  # fmt: skip
        unfinished = address.with_suffix(".part")
        unfinished.write_text(ray.get_runtime_context().gcs_address)
        unfinished.replace(address)
        while session.is_running() and session.status() != psutil.STATUS_ZOMBIE:
            time.sleep(POLL_SECONDS)
        ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
