"""Measurements of a device: the rate of matrix products, peak memory, and floating-point operations."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE = {"cuda": 8192, "cpu": 1024}  # of the square matrices: large enough to hide all other costs
SECONDS = {"cuda": 1.0, "cpu": 0.5}  # of one sample
SAMPLES = 5

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure a large square matrix product, the upper bound for any model. Returns FLOP/s."""
    side = SIDE[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    torch.mm(a, b)  # the first call loads the library
    seconds = _seconds(lambda: torch.mm(a, b), device, 1)
    repeats = max(1, int(SECONDS[device.type] / seconds))
    fastest = min(_seconds(lambda: torch.mm(a, b), device, repeats) for _ in range(SAMPLES))
    return float(2 * side**3 / fastest)


def count_flop(call: Callable[[], object]) -> int:
    """Count the floating-point operations of a call, two for each multiply-add. Compiled modules run uncompiled."""
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Reset `peak_memory` to the current usage."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR_REFS.exists():
        _CLEAR_REFS.write_text("5")  # resets the high-water mark: proc_pid_clear_refs(5)


def peak_memory(device: torch.device) -> int | None:
    """Return the peak memory of tensors on a GPU, or of this process, in bytes. None on a CPU without /proc."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if not _STATUS.exists():
        return None
    (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def device_name(device: torch.device) -> str:
    """Return the product name of a GPU, or CPU with its number of threads."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {torch.get_num_threads()}"


def _seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the mean seconds of one call."""
    synchronize(device)
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    synchronize(device)
    return (time.perf_counter() - began) / repeats
