"""Batches: unusable images are retried in float32, and the batch size is halved if memory runs out."""

import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.diffusion.batching import DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32, OUT_OF_MEMORY
from pipeline.diffusion.generator import ImageGenerator
from pipeline.diffusion.request import GenerationRequest
from pipeline.errors import OutOfMemoryError
from tests.tiny import tiny_recipe, tiny_requests

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
HALF = torch.bfloat16  # represents the half precision of a GPU on the CPU


@pytest.fixture
def generator(sd: Path) -> ImageGenerator:
    """Load the tiny models in half precision."""
    return ImageGenerator(tiny_recipe(sd), dtype=HALF)


def multiply_output(layer: torch.nn.Module, dtype: torch.dtype, factor: float = float("nan")) -> None:
    """Multiply the output of a layer by a factor whenever its weights have this dtype. NaN acts as an overflow."""

    def hook(layer: Any, _args: Any, output: torch.Tensor) -> torch.Tensor | None:
        return output * factor if layer.weight.dtype == dtype else None

    layer.register_forward_hook(hook)


def fill_output(layer: torch.nn.Module, value: float) -> None:
    """Replace the output of a layer by a constant."""
    layer.register_forward_hook(lambda _layer, _args, output: torch.full_like(output, value))


def limit_memory(
    generator: ImageGenerator, monkeypatch: pytest.MonkeyPatch, fits: Callable[[int, torch.dtype], bool]
) -> list[int]:
    """Raise an out-of-memory error for batches that do not fit. Returns a list that records the batch sizes."""
    sampler, sizes = generator._passes[0], list[int]()
    sample = sampler.latents

    def limited_sample(
        requests: Sequence[GenerationRequest], device: torch.device, dtype: torch.dtype, **options: bool
    ) -> torch.Tensor:
        sizes.append(len(requests))
        if not fits(len(requests), dtype):
            raise torch.OutOfMemoryError
        return sample(requests, device, dtype, **options)

    monkeypatch.setattr(sampler, "latents", limited_sample)
    return sizes


def test_usable_image_is_not_retried(generator: ImageGenerator) -> None:
    (image,) = generator.generate(tiny_requests(1))
    assert image.pixels is not None
    assert image.retried == ()


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_overflow_in_the_decoder_decodes_again_in_float32(generator: ImageGenerator, factor: float) -> None:
    multiply_output(generator.pipe.vae.decoder.conv_out, HALF, factor)
    images = generator.generate(tiny_requests(2))
    assert [image.retried for image in images] == [(DECODED_IN_FLOAT32,)] * 2
    assert all(image.pixels is not None and image.pixels.std() > 5 for image in images)
    assert generator.pipe.vae.dtype == generator.pipe.unet.dtype == HALF


def test_overflow_in_the_unet_generates_again_in_float32(generator: ImageGenerator, sd: Path) -> None:
    multiply_output(generator.pipe.unet.conv_out, HALF)
    (image,) = generator.generate(tiny_requests(1))
    assert image.retried == (GENERATED_IN_FLOAT32,)
    assert image.pixels is not None
    assert generator.pipe.unet.dtype == HALF
    (expected,) = ImageGenerator(tiny_recipe(sd)).generate(tiny_requests(1))
    assert expected.pixels is not None
    # The weights were rounded to half precision before, so the images differ a little.
    assert abs(image.pixels.astype(int) - expected.pixels).mean() < 4


def test_overflow_in_the_text_encoder_encodes_again_in_float32(generator: ImageGenerator) -> None:
    def hook(model: Any, _args: Any, output: Any) -> Any:
        if model.dtype == HALF:
            output.last_hidden_state = output.last_hidden_state * float("nan")
        return output

    generator.pipe.text_encoder.register_forward_hook(hook)
    (image,) = generator.generate(tiny_requests(1))
    assert image.retried == (GENERATED_IN_FLOAT32,)
    assert image.pixels is not None


def test_image_that_fails_in_float32_has_no_pixels(generator: ImageGenerator) -> None:
    for dtype in (HALF, torch.float32):
        multiply_output(generator.pipe.vae.decoder.conv_out, dtype)
    (image,) = generator.generate(tiny_requests(1))
    assert image.pixels is None
    assert image.retried == (DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32)


def test_generator_in_float32_does_not_retry(sd: Path) -> None:
    generator = ImageGenerator(tiny_recipe(sd))
    multiply_output(generator.pipe.vae.decoder.conv_out, torch.float32)
    (image,) = generator.generate(tiny_requests(1))
    assert (image.pixels, image.retried) == (None, ())


def test_image_of_a_single_colour_has_no_pixels(generator: ImageGenerator) -> None:
    fill_output(generator.pipe.vae.decoder.conv_out, -1.0)
    (image,) = generator.generate(tiny_requests(1))
    assert image.pixels is None


def test_inpaint_region_of_a_single_colour_has_no_pixels(sd: Path) -> None:
    generator = ImageGenerator(tiny_recipe(sd, "inpaint"))
    fill_output(generator.pipe.vae.decoder.conv_out, -1.0)
    (image,) = generator.generate(tiny_requests(1, 1, "inpaint"))
    assert image.pixels is None


def test_out_of_memory_frees_the_embedded_maps(sd: Path) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError

    generator, embedded = ImageGenerator(tiny_recipe(sd)), list[weakref.ref[torch.Tensor]]()
    embedding_layer = generator.pipe.controlnet.embeddings["0"]
    embedding_layer.register_forward_hook(lambda _layer, _args, output: embedded.append(weakref.ref(output)))
    failing_hook = generator.pipe.unet.register_forward_pre_hook(fail)
    with pytest.raises(OutOfMemoryError):
        generator.generate(tiny_requests(1))
    gc.collect()
    assert [reference() for reference in embedded] == [None]
    failing_hook.remove()
    assert generator.generate(tiny_requests(1))[0].pixels is not None


def test_out_of_memory_is_recognized_by_message_and_other_errors_are_raised(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = ImageGenerator(tiny_recipe(sd))
    generator.resize(2)
    messages = iter(["CUDA error: out of memory\nCUDA kernel errors might be late.", "an illegal memory access"])
    sample = generator._passes[0].latents

    def failing_sample(requests: Any, *args: Any) -> Any:
        if len(requests) > 1:
            raise RuntimeError(next(messages))
        return sample(requests, *args)

    monkeypatch.setattr(generator._passes[0], "latents", failing_sample)
    assert generator.generate(tiny_requests(2))[0].batch_size == 1
    generator.resize(2)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        generator.generate(tiny_requests(2))


def test_out_of_memory_during_a_retry_is_recorded(generator: ImageGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    multiply_output(generator.pipe.unet.conv_out, HALF)
    limit_memory(generator, monkeypatch, lambda _count, dtype: dtype == HALF)
    (image,) = generator.generate(tiny_requests(1))
    assert image.retried == (GENERATED_IN_FLOAT32, OUT_OF_MEMORY)


def test_out_of_memory_halves_the_batch_size(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = ImageGenerator(tiny_recipe(sd))
    generator.resize(8)
    sizes = limit_memory(generator, monkeypatch, lambda count, _dtype: count <= 2)
    images = generator.generate(tiny_requests(5))
    assert sizes == [8, 4, 2, 2, 2]
    assert all(image.pixels is not None for image in images)
    assert {image.batch_size for image in images} == {2}
    generator.generate(tiny_requests(1))
    assert sizes[-1] == 2


def test_single_image_that_does_not_fit_in_memory_stops_the_run(
    generator: ImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(generator, monkeypatch, lambda *_: False)
    with pytest.raises(OutOfMemoryError) as caught:
        generator.generate(tiny_requests(1))
    assert caught.value.code == "run.out_of_memory"


def test_images_of_several_shapes_and_prompt_lengths_keep_their_order(sd: Path) -> None:
    generator = ImageGenerator(tiny_recipe(sd))
    generator.resize(2)
    requests = tiny_requests(5)
    half_height = requests[1].photo[:32], (requests[1].maps[0][:32],)
    requests[1] = replace(requests[1], photo=half_height[0], maps=half_height[1])
    requests[3] = replace(requests[3], prompt="anime " * 90)
    images = generator.generate(requests)
    generator.resize(1)
    for request, image in zip(requests, images, strict=True):
        (single,) = generator.generate([request])
        assert single.pixels is not None
        assert image.pixels is not None
        assert image.pixels.shape == request.photo.shape
        assert abs(image.pixels.astype(int) - single.pixels).max() <= 1
