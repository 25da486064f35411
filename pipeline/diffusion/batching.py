"""Requests in batches of one shape and one size, one on its way while the one before is read back.

Every batch is filled up to one size, so that the same kernels run for every picture: the same picture comes out of any
batch. What is not finite or of one colour is done again in float32. Where memory runs out, batches become smaller.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pipeline.diffusion.adaptive_batch_size import AdaptiveBatchSize, is_out_of_memory
from pipeline.diffusion.request import GeneratedImage, GenerationRequest
from pipeline.diffusion.sampling import Sampler
from pipeline.errors import RunStoppedError

if TYPE_CHECKING:
    from pipeline.diffusion.compile import ModelCompiler
    from pipeline.diffusion.safety_checker import SafetyChecker

DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32 = "decoded again in float32", "drawn again in float32"
OUT_OF_MEMORY = "no memory to draw it again in float32"


@dataclass(frozen=True)
class _Launched:
    """A batch on its way back: pixels [N, H, W, 3], and what is known of each [N], are on the host once `arrived` is.

    The latents [N, C, h, w] stay on the device. A question about a tensor there would wait for the batch behind it too.
    """

    requests: Sequence[GenerationRequest]
    latents: torch.Tensor
    pixels: torch.Tensor
    sound: torch.Tensor
    nsfw: torch.Tensor | None
    batch_size: int
    arrived: torch.cuda.Event | None


class BatchRunner:
    """Draws with one pass. `checker` is asked about every picture, `compiled` is warmed up with every new shape."""

    def __init__(self, one_pass: Sampler, size: AdaptiveBatchSize, device: torch.device, dtype: torch.dtype) -> None:
        self._pass, self._size, self._device, self._dtype = one_pass, size, device, dtype
        self.checker: SafetyChecker | None = None
        self.compiled: ModelCompiler | None = None

    def run(self, requests: Sequence[GenerationRequest]) -> list[GeneratedImage]:
        """Return one image for each request, in order. Raises `RunStoppedError` if one image does not fit in memory."""
        drawn: dict[int, GeneratedImage] = {}
        before: list[int] = []
        launched: _Launched | None = None
        for batch, following in self._batches(requests):
            if launched:
                drawn |= zip(before, self._finish(launched), strict=True)  # while the next one is drawn
            before, launched = batch, following
        if launched:
            drawn |= zip(before, self._finish(launched), strict=True)
        return [drawn[place] for place in range(len(requests))]

    def _batches(self, requests: Sequence[GenerationRequest]) -> Iterator[tuple[list[int], _Launched]]:
        """Yield the places of some requests of one shape, and their batch, which may still be on its way."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault((request.photo.shape, self._pass.embedded(request).chunks), []).append(place)
        for waiting in groups.values():
            while waiting:
                batch = waiting[: self._size.now]
                launched = self._try([requests[place] for place in batch])
                if launched:
                    self._size.went_well()
                    yield batch, launched
                    del waiting[: len(batch)]

    def _try(self, requests: list[GenerationRequest]) -> _Launched | None:
        """Draw a batch; halve the batches where memory runs out, and return nothing."""
        try:
            return self._launch(requests)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if self._size.ran_out():
                reason = None
            else:
                reason = RunStoppedError("the memory does not hold one picture", "Try --set memory=low.")
                reason.__cause__ = error.with_traceback(None)
        self._pass.pipe.maybe_free_model_hooks()  # of models that take turns, some are still there
        if self._device.type == "cuda":
            torch.cuda.empty_cache()  # here: the error's traceback held the tensors
        if reason:
            raise reason
        return None

    def _launch(self, requests: list[GenerationRequest]) -> _Launched:
        """Start a batch, filled up with its last request, and its way back."""
        filled = [*requests, *itertools.repeat(requests[-1], self._size.now - len(requests))]
        if self.compiled:
            shape = len(filled), *filled[0].photo.shape, self._pass.embedded(filled[0]).chunks
            self.compiled.warm_up((self._pass.kind, shape), lambda: self._draw(filled))
        latents, decoded = self._draw(filled)
        count = len(requests)  # what filled the batch goes no further
        sound = _sound(latents[:count], decoded[:count], requests)
        pictures = self._pass.pictures(decoded[:count], requests)
        pixels = _as_bytes(pictures)
        nsfw = self.checker(pictures[:count].nan_to_num().clamp(0, 1)) if self.checker else None
        there = [pixels, sound] if nsfw is None else [pixels, sound, nsfw]
        (pixels, sound, *checked), arrived = _sent_back(there)
        nsfw = checked[0] if checked else None
        return _Launched(requests, latents[:count], pixels, sound, nsfw, len(filled), arrived)

    def _draw(self, requests: Sequence[GenerationRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        latents = self._pass.latents(requests, self._device, self._dtype)
        return latents, self._pass.decoded(latents)

    def _finish(self, launched: _Launched) -> list[GeneratedImage]:
        """Wait for a batch, and mend what is not sound in it."""
        if launched.arrived:
            launched.arrived.synchronize()
        flags = launched.nsfw.tolist() if launched.nsfw is not None else itertools.repeat(None)
        rows = zip(
            launched.requests, launched.latents, launched.pixels.numpy(), launched.sound.tolist(), flags, strict=False
        )
        return [
            GeneratedImage(pixels, launched.batch_size, (), nsfw) if sound else self._again(request, latents[None])
            for request, latents, pixels, sound, nsfw in rows
        ]

    def _again(self, request: GenerationRequest, latents: torch.Tensor) -> GeneratedImage:
        """Decode a picture again in float32, then draw it again in float32; without pixels where neither helps."""
        if self._dtype == torch.float32:
            return GeneratedImage(None, 1)
        tried: list[str] = []
        with torch.compiler.set_stance("force_eager"):  # nothing is compiled for a picture
            drawing = self._in_float32(request, latents, tried)
        return drawing or GeneratedImage(None, 1, tuple(tried))

    def _in_float32(self, request: GenerationRequest, latents: torch.Tensor, tried: list[str]) -> GeneratedImage | None:
        drawing = None
        try:
            self._pass.pipe.vae.to(torch.float32)
            if latents.isfinite().all():
                tried.append(DECODED_IN_FLOAT32)
                drawing = self._alone(request, latents.float(), tried)
            if drawing is None:
                tried.append(GENERATED_IN_FLOAT32)
                self._pass.pipe.to(torch.float32)
                redrawn = self._pass.latents([request], self._device, torch.float32, anew=True)
                drawing = self._alone(request, redrawn, tried)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            tried.append(OUT_OF_MEMORY)
        finally:
            self._pass.pipe.to(self._dtype)
        return drawing

    def _alone(self, request: GenerationRequest, latents: torch.Tensor, tried: list[str]) -> GeneratedImage | None:
        """Return the drawing of these latents if it is sound."""
        decoded = self._pass.decoded(latents)
        if not _sound(latents, decoded, [request]).item():
            return None
        pictures = self._pass.pictures(decoded, [request])
        nsfw = bool(self.checker(pictures.clamp(0, 1)).item()) if self.checker else None
        return GeneratedImage(_as_bytes(pictures)[0].cpu().numpy(), 1, tuple(tried), nsfw)


def _sound(latents: torch.Tensor, decoded: torch.Tensor, requests: Sequence[GenerationRequest]) -> torch.Tensor:
    """Return which pictures [N, 3, H, W] are finite and, unless they may be so, of more than one colour: [N], bool.

    Before they are clamped, and before a photo is put around a region: what is wrong must be seen to be.
    """
    finite = latents.isfinite().flatten(1).all(1) & decoded.isfinite().flatten(1).all(1)
    may_be_flat = torch.tensor([request.may_be_flat for request in requests]).to(decoded.device, non_blocking=True)
    seen = _as_bytes(decoded).flatten(1, 2)  # [N, H * W, 3]
    return finite & ((seen.amax(1) != seen.amin(1)).any(1) | may_be_flat)


def _as_bytes(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures [N, 3, H, W], 0..1, as [N, H, W, 3], uint8."""
    return (pictures.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _sent_back(there: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.cuda.Event | None]:
    """Start the way of tensors to pinned memory of the host; the event tells when they are there."""
    if there[0].device.type != "cuda":
        return there, None
    host = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in there]
    for target, source in zip(host, there, strict=True):
        target.copy_(source, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch is half typed here
    arrived.record()
    return host, arrived
