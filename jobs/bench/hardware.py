"""What a processor can do, and what was asked of it: matrix products, peak memory, floating-point operations."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE = {"cuda": 8192, "cpu": 1024}  # of the matrices: large enough that nothing but the product counts
SECONDS = {"cuda": 1.0, "cpu": 0.5}  # of one sample
SAMPLES = 5


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the measured rate of a large square matrix product, in FLOP/s: the most that a model could reach here."""
    side = SIDE[device.type]
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    torch.mm(one, other)  # loads the library
    seconds = _seconds(lambda: torch.mm(one, other), device, 1)
    repeats = max(1, int(SECONDS[device.type] / seconds))
    fastest = min(_seconds(lambda: torch.mm(one, other), device, repeats) for _ in range(SAMPLES))
    return float(2 * side**3 / fastest)


def count_flop(call: Callable[[], object]) -> int:
    """Return the floating-point operations of a call: twice its multiply-adds, without what is compiled."""
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` begin anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text("5")  # the high-water mark: proc_pid_clear_refs(5)


def peak_memory(device: torch.device) -> int | None:
    """Return the bytes that were held at most on a GPU, or by this process; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if not _STATUS.exists():
        return None
    (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def device_name(device: torch.device) -> str:
    """Return what a person calls the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread"


_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def _seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the seconds of one call, as the mean of `repeats`."""
    synchronize(device)
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    synchronize(device)
    return (time.perf_counter() - began) / repeats
