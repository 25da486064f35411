"""Remember the stage that rows reached, so that the failure of a row whose process died names the stage."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipeline.errors import RunError, WorkersFailedError, describe_exception
from pipeline.storage import redact_message

MOST_LOADS = 32  # processes that may end while they load the models of a step, before the run is stopped


@dataclass(frozen=True)
class ReachedStage:
    """The last stage that a row reached, and the exception that it raised. None if its process died."""

    stage: str
    error: str | None = None


@contextmanager
def _unknown_errors_reported(report: Callable[[str], object]) -> Iterator[None]:
    """Report the description of an unknown exception of the block, then raise the exception."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        report(redact_message(describe_exception(error)))
        raise


class _Stages:
    """A process of Ray that holds the stages by the keys of rows."""

    def __init__(self) -> None:
        self._stages: dict[str, ReachedStage] = {}
        self._loading = Counter[str]()  # how often loading a step began since it was last completed

    def set(self, keys: Sequence[str], stage: ReachedStage) -> None:
        self._stages.update(dict.fromkeys(keys, stage))

    def all(self) -> dict[str, ReachedStage]:
        return self._stages

    def begin_loading(self, step: str) -> int:
        self._loading[step] += 1
        return self._loading[step]

    def end_loading(self, step: str) -> None:
        self._loading[step] = 0


class StageLog:
    """Receives the stage of rows before they are processed. The steps of a flow share one object.

    Each call waits for another process, so that it is used only for the rows that are processed one at a time.
    """

    def __init__(self) -> None:
        self._most_loads = MOST_LOADS
        self._stages: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Stages).remote()

    @contextmanager
    def stage(self, stage: str, rows: pa.Table) -> Iterator[None]:
        """Set the stage of rows, a table of any stage after the plan. Records an unknown exception of the block."""
        keys = pc.struct_field(rows["planned"], "key").to_pylist()
        with self.stage_of_keys(stage, keys):
            yield

    @contextmanager
    def stage_of_keys(self, stage: str, keys: Sequence[str]) -> Iterator[None]:
        """Set the stage of rows with these keys."""
        ray.get(self._stages.set.remote(keys, ReachedStage(stage)))
        with _unknown_errors_reported(lambda text: ray.get(self._stages.set.remote(keys, ReachedStage(stage, text)))):
            yield

    @contextmanager
    def loading(self, step: str) -> Iterator[None]:
        """Load the models of a step in the block.

        Raises:
            WorkersFailedError: The block raised an unknown exception, or more than `MOST_LOADS` processes have ended
                while they loaded the models.
        """
        if ray.get(self._stages.begin_loading.remote(step)) > self._most_loads:
            raise WorkersFailedError(f"{step}: its processes end while they load the models")

        def fail(text: str) -> None:
            raise WorkersFailedError(f"{step}: its models cannot be loaded ({text})")

        with _unknown_errors_reported(fail):
            yield
        ray.get(self._stages.end_loading.remote(step))

    def reached(self) -> dict[str, ReachedStage]:
        """Return the stages of all rows by their keys."""
        reached: dict[str, ReachedStage] = ray.get(self._stages.all.remote())
        return reached
