"""Events of benchmarks: what a process did, and when. Every process writes them to files, and the driver reads them."""

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """A span of time in a process.

    Attributes:
        step: The name of the step.
        what: What the process did.
        begin: The begin, in seconds of the Unix epoch.
        end: The end.
    """

    step: str
    what: str
    begin: float
    end: float


class EventFile:
    """Writes the events of one object to a separate file, because several processes write at the same time.

    Args:
        folder: The folder of the files.
        step: The name of the step.
    """

    def __init__(self, folder: str, step: str) -> None:
        self._path, self._step = Path(folder) / uuid.uuid4().hex, step

    def write(self, what: str, begin: float) -> None:
        """Write an event that ends now."""
        with self._path.open("a") as file:
            file.write(json.dumps([self._step, what, begin, time.time()]) + "\n")


def read_events(folder: Path) -> list[Event]:
    """Read all events of a folder, sorted by their begin."""
    lines = [line for path in folder.iterdir() for line in path.read_text().splitlines()]
    return sorted((Event(*json.loads(line)) for line in lines), key=lambda event: event.begin)
