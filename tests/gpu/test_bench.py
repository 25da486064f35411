"""Tests of the bench on a GPU."""

import pytest
import torch

from jobs.bench.throughput import Bench
from pipeline.recipes.load import load_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def test_the_bench_measures_speed_memory_and_operations() -> None:
    stock = Bench(load_recipe("demo", ["dtype=float16", "steps=4"]), [2], 1).plain()
    optimized = Bench(load_recipe("demo", ["dtype=float16", "steps=4", "compile=off"]), [2], 1).sizes()
    for row in (*stock, *optimized):
        assert row.pace
        assert row.peak
        assert row.flop
