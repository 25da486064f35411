"""Tests of compilation: it hardly changes the image, each shape is compiled once, and the results are cached."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from pipeline import storage
from pipeline.diffusion.batching import DECODED_IN_FLOAT32
from pipeline.diffusion.compile import ModelCompiler
from pipeline.diffusion.generator import ImageGenerator, eager_reason
from tests.tiny import pixel_difference, tiny_recipe, tiny_requests

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


class RecordingBackend:
    """A backend of torch.compile that runs graphs as they are, and records the input shapes of each."""

    def __init__(self) -> None:
        self.graphs: list[list[torch.Size]] = []

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs.append([tensor.shape for tensor in inputs if isinstance(tensor, torch.Tensor)])
        return graph


def compile_models(
    generator: ImageGenerator, backend: str | Callable[..., Any], cache: str | None = None
) -> ModelCompiler:
    """Compile the models of a generator with this backend."""
    compiler = ModelCompiler([each.pipe for each in generator._passes], cache, backend)
    generator.compiled = compiler
    for runner in generator._batched:
        runner.compiled = compiler
    return compiler


def test_compiled_models_generate_the_same_image_and_warm_up_once(sd: Path) -> None:
    generator = ImageGenerator(tiny_recipe(sd))
    compiler = compile_models(generator, "eager")  # traces the models, and generates no code
    images = generator.generate(tiny_requests(2))
    seconds = generator.warming_seconds
    assert seconds > 0
    assert compiler.status == "yes"
    expected = ImageGenerator(tiny_recipe(sd)).generate(tiny_requests(2))
    assert max(pixel_difference(*pair) for pair in zip(images, expected, strict=True)) <= 1
    generator.generate(tiny_requests(1))
    assert generator.warming_seconds == seconds
    assert generator.made_by(tiny_requests(1)[0], images[0]).compiled == "yes"


def test_each_shape_is_compiled_once(sd: Path) -> None:
    generator, backend = ImageGenerator(tiny_recipe(sd)), RecordingBackend()
    compile_models(generator, backend)
    square, other = tiny_requests(2)
    wide = replace(other, photo=other.photo[:32], maps=(other.maps[0][:32],))
    for request in (square, wide):
        before, seconds = len(backend.graphs), generator.warming_seconds
        generator.generate([request])
        assert len(backend.graphs) > before
        assert generator.warming_seconds > seconds
        compiled = len(backend.graphs)
        generator.generate([replace(request, seed=9)])
        assert len(backend.graphs) == compiled
    sizes = [size for shapes in backend.graphs for shape in shapes for size in shape]
    assert all(type(size) is int for size in sizes)  # no graph has symbolic sizes


def test_decoding_again_in_float32_compiles_nothing(sd: Path) -> None:
    generator, backend = ImageGenerator(tiny_recipe(sd), dtype=torch.bfloat16), RecordingBackend()
    compile_models(generator, backend)
    generator.generate(tiny_requests(1))
    compiled = len(backend.graphs)
    generator.pipe.vae.post_quant_conv.register_forward_hook(
        lambda layer, _inputs, output: output * float("nan") if layer.weight.dtype == torch.bfloat16 else None
    )
    (image,) = generator.generate(tiny_requests(1))
    assert image.retried == (DECODED_IN_FLOAT32,)
    assert image.pixels is not None
    assert len(backend.graphs) == compiled


def test_a_failing_compiler_is_disabled_and_its_error_recorded(sd: Path) -> None:
    def fail(_graph: Any, _inputs: Any) -> Any:
        raise RuntimeError("no C++ compiler found")

    generator = ImageGenerator(tiny_recipe(sd))
    compile_models(generator, fail)
    (image,) = generator.generate(tiny_requests(1))
    (expected,) = ImageGenerator(tiny_recipe(sd)).generate(tiny_requests(1))
    assert pixel_difference(image, expected) == 0
    recorded = generator.made_by(tiny_requests(1)[0], image).compiled
    assert recorded.startswith("no: ")
    assert "no C++ compiler found" in recorded


def test_compiled_code_is_cached_by_shape_and_loaded_by_later_processes(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, loaded = ImageGenerator(tiny_recipe(sd)).pipe, list[bytes]()
    artifacts = [b"first shape", b"second shape"]
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: (artifacts.pop(0), None))
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", loaded.append)

    def run_process(*shapes: int) -> None:
        """Load the cache and warm up these shapes, as a new process does."""
        compiler = ModelCompiler([pipe], "memory://compiled", "eager")
        for shape in shapes:
            compiler.warm_up((shape,), lambda: None)

    run_process(1)
    assert loaded == []
    run_process(1, 2)  # the first shape is cached already
    assert loaded == [b"first shape"]
    loaded.clear()
    run_process()
    assert sorted(loaded) == [b"first shape", b"second shape"]


def test_recipes_that_need_other_code_have_their_own_cache_files(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: (b"code", None))
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", lambda _code: None)
    cache = "memory://cache-by-recipe"

    def count_files(dtype: torch.dtype = torch.float32, **changes: Any) -> int:
        """Generate an image, and return the number of files in the cache."""
        generator = ImageGenerator(tiny_recipe(sd, **changes), dtype=dtype)
        compile_models(generator, "eager", cache)
        generator.generate(tiny_requests(1))
        return len(storage.names(cache))

    assert count_files(guidance=7.0) == 1
    assert count_files(guidance=7.0, prompt="another") == 1
    assert count_files(guidance=1.0) == 2  # batches of the UNet have half as many rows
    assert count_files(guidance=7.0, guidance_end=0.5) == 3
    assert count_files(guidance=7.0, dtype=torch.bfloat16) == 4
    assert count_files(guidance=7.0, scheduler={"name": "EulerDiscreteScheduler"}) == 5  # its timesteps are floats


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: (b"code", None))
    compiler = ModelCompiler([ImageGenerator(tiny_recipe(sd)).pipe], str(tmp_path / "file" / "cache"), "eager")
    (tmp_path / "file").touch()
    for shape in (1, 2):
        compiler.warm_up((shape,), lambda: None)
    assert compiler.status.startswith("yes, and not kept: ")


def test_both_passes_are_compiled_only_while_they_warm_up(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upscale = {"net": {"name": str(sd / "net-1")}, "strength": 0.5, "tile": 64, "overlap": 0, "factor": 2}
    generator, backend = ImageGenerator(tiny_recipe(sd, "text2img", upscale=upscale)), RecordingBackend()
    compiler = compile_models(generator, backend)
    warm_up, compiled_by_warm_up = compiler.warm_up, list[int]()

    def record_warm_up(shape: Any, generate: Any) -> None:
        before = len(backend.graphs)
        warm_up(shape, generate)
        compiled_by_warm_up.append(len(backend.graphs) - before)

    monkeypatch.setattr(compiler, "warm_up", record_warm_up)
    generator.generate(tiny_requests(1))
    assert sum(compiled_by_warm_up) == len(backend.graphs)


def test_offloaded_models_are_not_compiled(sd: Path) -> None:
    with pytest.raises(ValidationError, match="memory"):
        tiny_recipe(sd, memory="low", compile="on")
    assert eager_reason(tiny_recipe(sd, memory="low"), on_gpu=True) is not None


@pytest.mark.parametrize(
    ("setting", "on_gpu", "expected"),
    [("on", False, True), ("off", True, False), ("auto", True, True), ("auto", False, False)],
)
def test_models_are_compiled_by_setting_and_device(
    sd: Path,
    setting: str,
    on_gpu: bool,  # noqa: FBT001 - a case
    expected: bool,  # noqa: FBT001 - a case
) -> None:
    assert (eager_reason(tiny_recipe(sd, compile=setting), on_gpu=on_gpu) is None) is expected
