"""Measurements: parts of a benchmark, and samples of memory."""

from jobs.bench import measurement
from jobs.bench.measurement import MIB, MemorySamples, Part


def test_a_part_is_measured() -> None:
    calls: list[int] = []
    part = measurement.measure("name", 7, lambda: calls.append(1))
    assert (part.name, part.rows, calls) == ("name", 7, [1])
    assert part.peak_memory > MIB


def test_a_part_within_another_is_subtracted() -> None:
    rest = Part("all", 1, 10.0, 8.0, 5).without(Part("write", 1, 4.0, 1.0, 5))
    assert (rest.name, rest.seconds, rest.cpu_seconds) == ("all", 6.0, 7.0)


def test_samples_have_the_smallest_the_median_and_the_largest() -> None:
    assert MemorySamples([3 * MIB, MIB, 2 * MIB]).describe() == "1 / 2 / 3 MiB"


def test_memory_is_sampled_at_the_begin_and_at_the_end() -> None:
    with measurement.sampled_memory() as samples:
        pass
    assert len(samples.values) >= 2
    assert all(value > MIB for value in samples.values)
