"""Drop the statistics that Ray Data keeps of every block until the end of a flow, so that the driver's memory is flat.

`Dataset.stats` prints these statistics, and this project does not use it. They take 3 KB for each batch of photos. With
the fragmentation that they cause, the memory of the driver grew by 13 KB for each batch, and by 5 KB without them.
"""

from typing import TYPE_CHECKING

from ray.data._internal.execution.execution_callback import ExecutionCallback

if TYPE_CHECKING:
    from ray.data._internal.execution.streaming_executor import StreamingExecutor


class DropBlockStatistics(ExecutionCallback):
    """Removes the statistics of blocks at each step of Ray Data's scheduler."""

    def on_execution_step(self, executor: "StreamingExecutor") -> None:
        """Clear the statistics of all operators."""
        for operator in executor._topology or ():  # noqa: SLF001 - Ray Data has no option for it
            for blocks in operator.get_stats().values():
                blocks.clear()
