"""Remember the stage that rows reached, so that the failure of a row whose process died names the stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipeline.errors import RunError, describe_exception
from pipeline.storage import redact_message


@dataclass(frozen=True)
class ReachedStage:
    """The last stage that a row reached, and the exception that it raised. None if its process died."""

    stage: str
    error: str | None = None


class _Stages:
    """A process of Ray that holds the stages by the keys of rows."""

    def __init__(self) -> None:
        self._stages: dict[str, ReachedStage] = {}

    def set(self, keys: Sequence[str], stage: ReachedStage) -> None:
        self._stages.update(dict.fromkeys(keys, stage))

    def all(self) -> dict[str, ReachedStage]:
        return self._stages


class StageLog:
    """Receives the stage of rows before they are processed. The steps of a flow share one object.

    Each call waits for another process, so that it is used only for the rows that are processed one at a time.
    """

    def __init__(self) -> None:
        self._stages: Any = ray.remote(num_cpus=0)(_Stages).remote()

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
        try:
            yield
        except RunError:
            raise
        except Exception as error:
            text = redact_message(describe_exception(error))
            ray.get(self._stages.set.remote(keys, ReachedStage(stage, text)))
            raise

    def reached(self) -> dict[str, ReachedStage]:
        """Return the stages of all rows by their keys."""
        reached: dict[str, ReachedStage] = ray.get(self._stages.all.remote())
        return reached
