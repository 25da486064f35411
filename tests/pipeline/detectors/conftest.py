"""Fixtures of the tests of detectors."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _single_thread() -> None:
    """Let torch use one thread, as in a run. On a busy machine, several threads would wait for each other."""
    import torch

    torch.set_num_threads(1)
