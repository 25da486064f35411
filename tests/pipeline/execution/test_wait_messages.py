"""A flow that waits for resources says so."""

import logging
from collections.abc import Iterator

import pyarrow as pa
import pytest

from pipeline.execution import wait_messages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class WaitedError(RuntimeError):
    """Ends a flow that would wait for ever."""


class EndFlow(logging.Handler):
    """Ends the flow with the message that is logged, because the message is logged in the scheduler of the flow."""

    def emit(self, record: logging.LogRecord) -> None:
        """Raise an error with the message."""
        raise WaitedError(record.getMessage())


@pytest.fixture
def messages_end_flows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the first message end its flow."""
    monkeypatch.setattr(wait_messages, "WAIT_SECONDS", 1.0)
    handler, level = EndFlow(), wait_messages.LOGGER.level
    wait_messages.LOGGER.addHandler(handler)
    wait_messages.LOGGER.setLevel(logging.INFO)
    yield
    wait_messages.LOGGER.removeHandler(handler)
    wait_messages.LOGGER.setLevel(level)


class Unchanged:
    """Returns its batch."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return the batch."""
        return batch


@pytest.mark.usefixtures("ray_session", "messages_end_flows")
def test_a_flow_without_a_free_gpu_names_the_step_and_what_it_needs() -> None:
    import ray.data

    flow = ray.data.from_arrow([pa.table({"n": [1]})])
    flow.context.custom_execution_callback_classes = [wait_messages.LogWaiting]
    pool = ray.data.ActorPoolStrategy(size=1)
    steps = flow.map_batches(Unchanged, batch_size=1, compute=pool, num_gpus=7)
    with pytest.raises(WaitedError, match=r"Unchanged waits for a process with .*7 GPU; free: .* CPUs, 1 of 1 GPUs"):
        list(steps.iter_batches())
