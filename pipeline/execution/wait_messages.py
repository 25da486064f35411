"""Log what a flow waits for, if no batch was finished for a minute, and again every minute."""

import logging
import time
from typing import TYPE_CHECKING

import ray
from ray.data._internal.execution.execution_callback import ExecutionCallback

if TYPE_CHECKING:
    from ray.data._internal.execution.interfaces import PhysicalOperator
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

LOGGER = logging.getLogger("photo2anime.run")

WAIT_SECONDS = 60.0
GIB = 2**30


class LogWaiting(ExecutionCallback):
    """Logs a message for every `WAIT_SECONDS` in which no step finished a batch."""

    def __init__(self) -> None:
        self._finished = -1
        self._since = self._due = 0.0

    def on_execution_step(self, executor: "StreamingExecutor") -> None:
        """Compare the number of finished batches with the last one."""
        operators = list(executor._topology or ())  # noqa: SLF001 - Ray Data has no other access to it
        finished, now = sum(operator.metrics.num_tasks_finished for operator in operators), time.monotonic()
        if finished != self._finished:
            self._finished, self._since, self._due = finished, now, now + WAIT_SECONDS
        elif now >= self._due:
            self._due = now + WAIT_SECONDS
            states = [state for state in map(_describe, operators) if state]
            text = "no batch was finished for %.0f s: %s; free: %s"
            LOGGER.info(text, now - self._since, ", ".join(states) or "no step is running", _free_resources())


def _describe(operator: "PhysicalOperator") -> str | None:
    """Describe what an operator of Ray Data does, or which process it waits for. Returns None if it does nothing."""
    name = operator.name.replace("MapBatches(", "").replace(")", "")
    processes = operator.get_actor_info()
    if not processes.running and processes.pending + processes.restarting:
        needs = operator.min_scheduling_resources()
        amounts = [f"{amount:g} {unit}" for amount, unit in ((needs.cpu, "CPU"), (needs.gpu, "GPU")) if amount]
        return f"{name} waits for a process" + (f" with {' and '.join(amounts)}" if amounts else "")
    tasks = operator.num_active_tasks() - processes.pending - processes.restarting
    return f"{name} works on {tasks} batch(es)" if tasks > 0 else None


def _free_resources() -> str:
    """Describe the resources of the cluster that are not in use."""
    total, free = ray.cluster_resources(), ray.available_resources()
    amounts = [f"{free.get(name, 0):g} of {total.get(name, 0):g} {name}s" for name in ("CPU", "GPU")]
    memory = f"{free.get('memory', 0) / GIB:.1f} of {total.get('memory', 0) / GIB:.1f} GiB of memory"
    return ", ".join([*amounts, memory])
