"""Compiled parts draw the same, are warmed up once for a shape, are kept, and give way where the compiler fails."""

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
from tests.tiny import apart, asked, tiny_recipe

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


def with_compiler(folder: Path, backend: str, cache: str | None = None) -> ImageGenerator:
    subject = ImageGenerator(tiny_recipe(folder))
    subject.compiled = ModelCompiler([subject._passes[0].pipe], cache, backend)
    for batched in subject._batched:
        batched.compiled = subject.compiled
    return subject


def test_compiled_models_draw_the_same_and_warm_up_once(sd: Path) -> None:
    subject = with_compiler(sd, "eager")  # the tracing of the compiler, without its code
    drawings = subject.generate(asked(2))
    assert subject.compiled is not None
    warmed = subject.warming_seconds
    assert warmed > 0
    assert subject.compiled.said == "yes"
    plain = ImageGenerator(tiny_recipe(sd)).generate(asked(2))
    assert max(apart(*both) for both in zip(drawings, plain, strict=True)) <= 1
    subject.generate(asked(1))
    assert subject.warming_seconds == warmed
    assert subject.made_by(asked(1)[0], drawings[0])["compiled"] == "yes"


def test_each_shape_is_compiled_for_itself_and_told_from_others(sd: Path) -> None:
    graphs: list[Any] = []

    def counted(graph: Any, examples: Any) -> Any:
        graphs.append([tuple(example.shape) for example in examples if isinstance(example, torch.Tensor)])
        return graph

    subject = with_compiler(sd, counted)  # type: ignore[arg-type]  # torch takes a function for a backend
    requests = asked(2)
    lower = replace(requests[1], photo=requests[1].photo[:32], maps=(requests[1].maps[0][:32],))
    for request in (requests[0], lower):
        before, warmed = len(graphs), subject.warming_seconds
        subject.generate([request])
        assert len(graphs) > before
        assert subject.warming_seconds > warmed
        compiled = len(graphs)
        subject.generate([replace(request, seed=9)])
        assert len(graphs) == compiled
    sizes = [size for shapes in graphs for shape in shapes for size in shape]
    assert all(type(size) is int for size in sizes)  # no kernel for sizes that are not known


def test_nothing_is_compiled_to_mend_a_picture(sd: Path) -> None:
    graphs: list[Any] = []

    def counted(graph: Any, _examples: Any) -> Any:
        graphs.append(graph)
        return graph

    subject = ImageGenerator(tiny_recipe(sd), dtype=torch.bfloat16)
    subject.compiled = ModelCompiler([subject._passes[0].pipe], None, counted)  # type: ignore[arg-type]  # as above
    for batched in subject._batched:
        batched.compiled = subject.compiled
    subject.generate(asked(1))
    compiled = len(graphs)
    subject._passes[0].pipe.vae.post_quant_conv.register_forward_hook(
        lambda layer, _given, said: said * float("nan") if layer.weight.dtype == torch.bfloat16 else None
    )
    (drawing,) = subject.generate(asked(1))
    assert drawing.retried == (DECODED_IN_FLOAT32,)
    assert drawing.pixels is not None
    assert len(graphs) == compiled


def test_where_the_compiler_fails_pictures_are_drawn_plainly_and_the_reason_is_said(sd: Path) -> None:
    def failing(_graph: Any, _examples: Any) -> Any:
        message = "no C++ compiler found"
        raise RuntimeError(message)

    subject = with_compiler(sd, failing)  # type: ignore[arg-type]  # torch takes a function for a backend
    (drawing,) = subject.generate(asked(1))
    (plain,) = ImageGenerator(tiny_recipe(sd)).generate(asked(1))
    assert apart(drawing, plain) == 0
    said = subject.made_by(asked(1)[0], drawing)["compiled"]
    assert said.startswith("no: ")
    assert "no C++ compiler found" in said


def test_what_was_compiled_is_kept_for_the_next_process_and_no_process_undoes_anothers(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, loaded = ImageGenerator(tiny_recipe(sd)).pipe, list[bytes]()
    kept = [b"of one shape", b"of another"]
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: (kept.pop(0), None))
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", loaded.append)

    def process(*shapes: int) -> ModelCompiler:
        """Return what a process has that draws batches of these shapes."""
        compiled = ModelCompiler([pipe], "memory://compiled", "eager")
        for shape in shapes:
            compiled.warm_up((shape,), lambda: None)
        return compiled

    process(1)
    assert loaded == []
    process(1, 2)  # the first is there already
    assert loaded == [b"of one shape"]
    loaded.clear()
    process()
    assert sorted(loaded) == [b"of another", b"of one shape"]


def test_what_another_recipe_compiles_is_kept_beside_it(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: (b"code", None))
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", lambda _code: None)
    cache = "memory://kept-by-recipe"

    def kept(dtype: torch.dtype = torch.float32, **changes: Any) -> int:
        """Return how many files there are when a recipe has drawn."""
        subject = ImageGenerator(tiny_recipe(sd, **changes), dtype=dtype)
        for batched in subject._batched:
            batched.compiled = ModelCompiler([subject.pipe], cache, "eager")
        subject.generate(asked(1))
        return len(storage.names(cache))

    assert kept(guidance=7.0) == 1
    assert kept(guidance=7.0, prompt="another") == 1
    assert kept(guidance=1.0) == 2  # the UNet draws half as many at once
    assert kept(guidance=7.0, guidance_end=0.5) == 3
    assert kept(guidance=7.0, dtype=torch.bfloat16) == 4
    assert kept(guidance=7.0, scheduler={"name": "EulerDiscreteScheduler"}) == 5  # whose timesteps are no whole numbers


def test_a_folder_that_cannot_be_written_stops_nothing(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: (b"compiled code", None))
    subject = ModelCompiler([ImageGenerator(tiny_recipe(sd)).pipe], str(tmp_path / "file" / "cache"), "eager")
    (tmp_path / "file").touch()
    for shape in (1, 2):
        subject.warm_up((shape,), lambda: None)
    assert subject.said.startswith("yes, and not kept: ")


def test_each_pass_is_warmed_up_for_itself(sd: Path) -> None:
    graphs: list[Any] = []

    def counted(graph: Any, _examples: Any) -> Any:
        graphs.append(graph)
        return graph

    upscale = {"net": {"name": str(sd / "net-1")}, "strength": 0.5, "tile": 64, "overlap": 0, "factor": 2}
    subject = ImageGenerator(tiny_recipe(sd, "text2img", upscale=upscale))
    pipes = [each.pipe for each in subject._passes]
    subject.compiled = ModelCompiler(pipes, None, counted)  # type: ignore[arg-type]  # torch takes a function for a backend
    for batched in subject._batched:
        batched.compiled = subject.compiled
    warm_up, during = subject.compiled.warm_up, list[int]()

    def noted(shape: Any, draw: Any) -> None:
        before = len(graphs)
        warm_up(shape, draw)
        during.append(len(graphs) - before)

    subject.compiled.warm_up = noted  # type: ignore[method-assign]  # as a spy
    subject.generate(asked(1))
    assert sum(during) == len(graphs)  # nothing is compiled while a picture is drawn


def test_models_that_move_are_not_compiled(sd: Path) -> None:
    with pytest.raises(ValidationError, match="memory: low goes not with compile: on"):
        tiny_recipe(sd, memory="low", compile="on")
    assert "memory is low" in (eager_reason(tiny_recipe(sd, memory="low"), on_gpu=True) or "")


@pytest.mark.parametrize(
    ("choice", "on_gpu", "wanted"),
    [("on", False, True), ("off", True, False), ("auto", True, True), ("auto", False, False)],
)
def test_who_is_compiled(sd: Path, choice: str, on_gpu: bool, wanted: bool) -> None:  # noqa: FBT001 - cases
    assert (eager_reason(tiny_recipe(sd, compile=choice), on_gpu=on_gpu) is None) is wanted
