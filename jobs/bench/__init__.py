"""Benchmarks: `photo2anime bench NAME`. Each prints one table of figures, and what they are compared with."""
