"""Floating-point operations and peak memory are measured correctly."""

import numpy as np
import pytest
import torch

from jobs.bench import hardware

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def test_flop_are_twice_the_multiply_adds_in_inference_mode() -> None:
    a, b = torch.ones(8, 16), torch.ones(16, 4)
    layer = torch.nn.Linear(16, 4)

    @torch.inference_mode()
    def two_products() -> None:
        torch.mm(a, b)
        layer(a)

    assert hardware.count_flop(two_products) == 2 * (2 * 8 * 16 * 4)


def test_flop_of_compiled_modules_are_counted() -> None:
    layer = torch.nn.Linear(16, 4)
    layer.compile(backend="eager")
    assert hardware.count_flop(lambda: layer(torch.ones(8, 16))) == 2 * 8 * 16 * 4


def test_peak_memory_includes_freed_memory_until_it_is_reset() -> None:
    hardware.reset_peak_memory(CPU)
    before = hardware.peak_memory(CPU)
    np.ones(25_000_000).sum()  # 200 MB
    after = hardware.peak_memory(CPU)
    assert before is not None
    assert after is not None
    assert after - before > 150e6
    hardware.reset_peak_memory(CPU)
    reset = hardware.peak_memory(CPU)
    assert reset is not None
    assert after - reset > 100e6
