"""Benchmarks: `photo2anime bench NAME` prints one table of measurements, compared with a baseline."""
