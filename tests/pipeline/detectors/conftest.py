"""Fixtures of the tests of detectors."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _single_thread() -> None:
    """Let torch use one thread, as in the workers of Ray: several would wait for one another on a busy machine."""
    import torch

    torch.set_num_threads(1)
