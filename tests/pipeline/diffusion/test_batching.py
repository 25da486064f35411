"""Batches: pictures that are not sound are mended or said, memory that runs out makes batches smaller."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.diffusion.batching import DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32, OUT_OF_MEMORY
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest
from pipeline.errors import RunStoppedError
from tests.tiny import asked, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore")
HALF = torch.bfloat16  # stands on the CPU for the half precision of a GPU
Latents = Callable[..., torch.Tensor]


@pytest.fixture
def subject(sd: Path) -> ImageGenerator:
    return ImageGenerator(tiny_recipe(sd), dtype=HALF)


def spoil_decoder(subject: ImageGenerator, *, whenever: torch.dtype, by: float = float("nan")) -> None:
    """Let the decoder's last layer overflow while it computes in a dtype."""

    def spoiled(layer: Any, _given: Any, said: torch.Tensor) -> torch.Tensor | None:
        return said * by if layer.weight.dtype == whenever else None

    subject._passes[0].pipe.vae.decoder.conv_out.register_forward_hook(spoiled)


def spoil_unet(subject: ImageGenerator, *, whenever: torch.dtype) -> None:
    def spoiled(layer: Any, _given: Any, said: torch.Tensor) -> torch.Tensor | None:
        return said * float("nan") if layer.weight.dtype == whenever else None

    subject._passes[0].pipe.unet.conv_out.register_forward_hook(spoiled)


def test_a_sound_picture_is_drawn_once(subject: ImageGenerator) -> None:
    (drawing,) = subject.generate(asked(1))
    assert drawing.pixels is not None
    assert drawing.retried == ()


@pytest.mark.parametrize("by", [float("nan"), float("inf")])
def test_a_decoder_that_overflows_decodes_again_in_float32(subject: ImageGenerator, by: float) -> None:
    spoil_decoder(subject, whenever=HALF, by=by)
    drawings = subject.generate(asked(2))
    assert [drawing.retried for drawing in drawings] == [(DECODED_IN_FLOAT32,)] * 2
    assert all(drawing.pixels is not None and drawing.pixels.std() > 5 for drawing in drawings)
    assert subject._passes[0].pipe.vae.dtype == subject._passes[0].pipe.unet.dtype == HALF


def test_a_unet_that_overflows_draws_again_in_float32(subject: ImageGenerator, sd: Path) -> None:
    spoil_unet(subject, whenever=HALF)
    (drawing,) = subject.generate(asked(1))
    assert drawing.retried == (GENERATED_IN_FLOAT32,)
    assert drawing.pixels is not None
    assert subject._passes[0].pipe.unet.dtype == HALF
    (exact,) = ImageGenerator(tiny_recipe(sd)).generate(asked(1))
    assert exact.pixels is not None
    assert abs(drawing.pixels.astype(int) - exact.pixels).mean() < 4  # weights have been in half precision


def test_where_nothing_helps_there_is_no_picture_and_all_that_was_tried(subject: ImageGenerator) -> None:
    spoil_decoder(subject, whenever=HALF)
    spoil_decoder(subject, whenever=torch.float32)
    (drawing,) = subject.generate(asked(1))
    assert drawing.pixels is None
    assert drawing.retried == (DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32)


def test_in_float32_there_is_nothing_beyond_to_try(sd: Path) -> None:
    subject = ImageGenerator(tiny_recipe(sd))
    spoil_decoder(subject, whenever=torch.float32)
    (drawing,) = subject.generate(asked(1))
    assert (drawing.pixels, drawing.retried) == (None, ())


def test_a_picture_of_one_colour_is_none(subject: ImageGenerator) -> None:
    def flat(_layer: Any, _given: Any, said: torch.Tensor) -> torch.Tensor:
        return torch.full_like(said, -1.0)

    subject._passes[0].pipe.vae.decoder.conv_out.register_forward_hook(flat)
    (drawing,) = subject.generate(asked(1))
    assert drawing.pixels is None


def test_a_region_that_the_decoder_leaves_black_is_no_picture(sd: Path) -> None:
    def black(_layer: Any, _given: Any, said: torch.Tensor) -> torch.Tensor:
        return torch.full_like(said, -1.0)

    subject = ImageGenerator(tiny_recipe(sd, "inpaint"))
    subject.pipe.vae.decoder.conv_out.register_forward_hook(black)
    (drawing,) = subject.generate(asked(1, 1, "inpaint"))
    assert drawing.pixels is None


def test_a_text_encoder_that_overflows_is_asked_again_in_float32(subject: ImageGenerator) -> None:
    def spoiled(layer: Any, _given: Any, said: Any) -> Any:
        if layer.dtype == HALF:
            said.last_hidden_state = said.last_hidden_state * float("nan")
        return said

    subject.pipe.text_encoder.register_forward_hook(spoiled)
    (drawing,) = subject.generate(asked(1))
    assert drawing.retried == (GENERATED_IN_FLOAT32,)
    assert drawing.pixels is not None


def test_embedded_maps_are_let_go_where_memory_runs_out(sd: Path) -> None:
    def failing(*_: Any) -> None:
        raise torch.OutOfMemoryError

    subject = ImageGenerator(tiny_recipe(sd))
    handle = subject.pipe.unet.register_forward_pre_hook(failing)
    with pytest.raises(RunStoppedError):
        subject.generate(asked(1))
    assert subject.pipe.controlnet._embedded == {}
    handle.remove()
    assert subject.generate(asked(1))[0].pixels is not None


def test_a_librarys_words_for_no_memory_are_understood_and_other_errors_are_not_hidden(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = ImageGenerator(tiny_recipe(sd))
    subject.resize(2)
    said = iter(["CUDA error: out of memory\nCUDA kernel errors might be late.", "an illegal memory access"])
    latents = subject._passes[0].latents

    def failing(requests: Any, *more: Any) -> Any:
        if len(requests) > 1:
            raise RuntimeError(next(said))
        return latents(requests, *more)

    monkeypatch.setattr(subject._passes[0], "latents", failing)
    assert subject.generate(asked(2))[0].batch_size == 1
    subject.resize(2)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        subject.generate(asked(2))


def test_a_retry_that_finds_no_memory_says_so(subject: ImageGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_unet(subject, whenever=HALF)
    limit_memory(subject, monkeypatch, lambda _count, dtype: dtype == HALF)
    (drawing,) = subject.generate(asked(1))
    assert drawing.retried == (GENERATED_IN_FLOAT32, OUT_OF_MEMORY)


def limit_memory(
    subject: ImageGenerator, monkeypatch: pytest.MonkeyPatch, fits: Callable[[int, torch.dtype], bool]
) -> list[int]:
    """Let the pass run out of memory unless a batch fits; return the sizes that were tried."""
    one_pass, tried = subject._passes[0], list[int]()
    latents: Latents = one_pass.latents

    def limited(
        requests: Sequence[GenerationRequest], device: torch.device, dtype: torch.dtype, **more: bool
    ) -> torch.Tensor:
        tried.append(len(requests))
        if not fits(len(requests), dtype):
            raise torch.OutOfMemoryError
        return latents(requests, device, dtype, **more)

    monkeypatch.setattr(one_pass, "latents", limited)
    return tried


def test_where_memory_runs_out_batches_are_halved_and_the_unit_is_finished(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = ImageGenerator(tiny_recipe(sd))
    subject._size.now = subject._size._wanted = 8
    tried = limit_memory(subject, monkeypatch, lambda count, _dtype: count <= 2)
    drawings = subject.generate(asked(5))
    assert tried == [8, 4, 2, 2, 2]
    assert all(drawing.pixels is not None for drawing in drawings)
    assert {drawing.batch_size for drawing in drawings} == {2}
    subject.generate(asked(1))
    assert tried[-1] == 2


def test_where_one_picture_is_too_much_the_run_stops(subject: ImageGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(subject, monkeypatch, lambda *_: False)
    with pytest.raises(RunStoppedError, match="memory does not hold one picture. Try --set memory=low"):
        subject.generate(asked(1))


def test_pictures_of_several_shapes_and_prompts_of_several_lengths_come_back_in_order(sd: Path) -> None:
    from dataclasses import replace

    subject = ImageGenerator(tiny_recipe(sd))
    subject._size.now = 2
    requests = asked(5)
    requests[1] = replace(requests[1], photo=requests[1].photo[:32], maps=(requests[1].maps[0][:32],))  # half as high
    requests[3] = replace(requests[3], prompt="anime " * 90)
    together = subject.generate(requests)
    subject._size.now = 1
    for request, drawing in zip(requests, together, strict=True):
        (alone,) = subject.generate([request])
        assert alone.pixels is not None
        assert drawing.pixels is not None
        assert drawing.pixels.shape == request.photo.shape
        assert abs(drawing.pixels.astype(int) - alone.pixels).max() <= 1
