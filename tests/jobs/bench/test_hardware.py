"""What a processor can do and was asked: known sums, and memory that was held."""

import numpy as np
import torch

from jobs.bench import hardware

CPU = torch.device("cpu")


def test_operations_are_twice_the_multiply_adds_in_inference_too() -> None:
    one, other = torch.ones(8, 16), torch.ones(16, 4)
    layer = torch.nn.Linear(16, 4)

    @torch.inference_mode()
    def both() -> None:
        torch.mm(one, other)
        layer(one)

    assert hardware.count_flop(both) == 2 * (2 * 8 * 16 * 4)


def test_what_is_compiled_is_counted_too() -> None:
    layer = torch.nn.Linear(16, 4)
    layer.compile(backend="eager")
    assert hardware.count_flop(lambda: layer(torch.ones(8, 16))) == 2 * 8 * 16 * 4


def test_a_matrix_product_has_a_rate() -> None:
    rate = hardware.matrix_rate(CPU, torch.float32)
    assert 1e9 < rate < 1e14  # a core's, whichever it is


def test_the_peak_begins_anew_and_sees_what_was_held_and_let_go() -> None:
    hardware.reset_peak_memory(CPU)
    before = hardware.peak_memory(CPU)
    np.ones(25_000_000).sum()  # 200 MB
    after = hardware.peak_memory(CPU)
    assert before is not None
    assert after is not None
    assert after - before > 150e6
    hardware.reset_peak_memory(CPU)
    again = hardware.peak_memory(CPU)
    assert again is not None
    assert after - again > 100e6


def test_the_cpu_has_a_name() -> None:
    assert hardware.device_name(CPU).startswith("CPU, ")
