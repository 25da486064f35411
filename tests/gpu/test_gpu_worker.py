"""Errors of CUDA that make a process unusable are recognised, so that Ray replaces the process."""

import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]

FAILURE = """
import torch
from pipeline.steps.gpu_worker import device_is_usable

values = torch.ones(3, device="cuda")
before = device_is_usable()
try:
    values[torch.tensor([5], device="cuda")].cpu()
except RuntimeError:
    pass
print(before, device_is_usable())
"""


def test_a_process_with_a_failed_kernel_is_not_usable() -> None:
    result = subprocess.run([sys.executable, "-c", FAILURE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["True", "False"], result.stderr[-2000:]


def test_running_out_of_memory_leaves_a_process_usable() -> None:
    from pipeline.steps.gpu_worker import device_is_usable

    with pytest.raises(torch.cuda.OutOfMemoryError):
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert device_is_usable()
