"""Generate images in batches of one shape. The results of one batch are copied while the next batch is computed.

Every batch is padded to one size, so that the device runs the same kernels for every image, and an image does not
depend on its batch. An unusable image (see `_is_usable`) of models in half precision is decoded or generated again in
float32. If memory runs out, the batch size is halved.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pipeline.diffusion.adaptive_batch_size import AdaptiveBatchSize, is_out_of_memory
from pipeline.diffusion.request import GeneratedImage, GenerationRequest
from pipeline.diffusion.sampling import Sampler
from pipeline.errors import OutOfMemoryError

if TYPE_CHECKING:
    from pipeline.diffusion.compile import ModelCompiler
    from pipeline.diffusion.safety_checker import SafetyChecker

# Values of `GeneratedImage.retried`, which are recorded.
DECODED_IN_FLOAT32, GENERATED_IN_FLOAT32 = "decoded again in float32", "generated again in float32"
OUT_OF_MEMORY = "out of memory in float32"


@dataclass(frozen=True)
class _PendingBatch:
    """A batch whose results are being copied to the host.

    The latents stay on the device, because only a retry needs them. If the host reads them, it must also wait for the
    next batch, which is already queued on the device.

    Attributes:
        requests: The N requests of the batch, without padding.
        latents: Scaled latents on the device, [N, C, h, w].
        pixels: Images on the host, [N, H, W, 3], uint8.
        usable: The results of `_is_usable` on the host, [N], bool.
        nsfw: The results of the safety checker on the host, [N], bool. None without a safety checker.
        batch_size: The number of images that were computed, padding included.
        copied: The event after which the tensors on the host are valid. None if they are valid already.
    """

    requests: Sequence[GenerationRequest]
    latents: torch.Tensor
    pixels: torch.Tensor
    usable: torch.Tensor
    nsfw: torch.Tensor | None
    batch_size: int
    copied: torch.cuda.Event | None


class BatchRunner:
    """Generates the images of requests with one sampler.

    Args:
        sampler: The sampler of the first or the second pass.
        size: The current batch size. The runners of the first and the second pass share this object.
        device: The device of the models.
        dtype: The dtype of the models.

    Attributes:
        checker: The safety checker for every image. None to skip the check.
        compiled: The compiler to warm up for every new shape. None if the models are not compiled.
    """

    def __init__(self, sampler: Sampler, size: AdaptiveBatchSize, device: torch.device, dtype: torch.dtype) -> None:
        self._sampler, self._size, self._device, self._dtype = sampler, size, device, dtype
        self.checker: SafetyChecker | None = None
        self.compiled: ModelCompiler | None = None

    def run(self, requests: Sequence[GenerationRequest]) -> list[GeneratedImage]:
        """Generate one image for each request, in order.

        Raises:
            OutOfMemoryError: One image does not fit in the memory of the device.
        """
        images: dict[int, GeneratedImage] = {}
        previous: tuple[list[int], _PendingBatch] | None = None
        for current in self._launch_batches(requests):
            if previous:
                images |= self._finish(*previous)  # while the device computes the current batch
            previous = current
        if previous:
            images |= self._finish(*previous)
        return [images[index] for index in range(len(requests))]

    def _launch_batches(self, requests: Sequence[GenerationRequest]) -> Iterator[tuple[list[int], _PendingBatch]]:
        """Launch all requests in batches of one shape and prompt length. Yields each batch with its request indices."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault((request.photo.shape, self._sampler.embed_prompts(request).chunks), []).append(index)
        for waiting in groups.values():
            while waiting:
                indices = waiting[: self._size.current]
                batch = self._launch_or_shrink([requests[index] for index in indices])
                if batch:
                    self._size.count_success()
                    yield indices, batch
                    del waiting[: len(indices)]

    def _launch_or_shrink(self, requests: list[GenerationRequest]) -> _PendingBatch | None:
        """Launch a batch. If memory runs out, halve the batch size and return None.

        Raises:
            OutOfMemoryError: The batch size is 1 already.
        """
        failure = None
        try:
            return self._launch(requests)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if not self._size.shrink():
                failure = OutOfMemoryError(f"{self._device}: one image does not fit in memory")
                failure.__cause__ = error.with_traceback(None)
        # Memory is freed outside of the except block, because the traceback of the error refers to the tensors.
        self._sampler.pipe.maybe_free_model_hooks()  # with `memory: low`, moves the models back to host memory
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if failure:
            raise failure
        return None

    def _launch(self, requests: list[GenerationRequest]) -> _PendingBatch:
        """Start the computation of a batch, padded with its last request, and the copy of its results."""
        count = len(requests)
        padded = [*requests, *itertools.repeat(requests[-1], self._size.current - count)]
        if self.compiled:
            shape = len(padded), *padded[0].photo.shape, self._sampler.embed_prompts(padded[0]).chunks
            self.compiled.warm_up((self._sampler.compile_key, shape), lambda: self._sample(padded))
        latents, decoded = (tensor[:count] for tensor in self._sample(padded))
        usable = _is_usable(latents, decoded, requests)
        images = self._sampler.compose_images(decoded, requests)
        pixels = _to_uint8(images)
        results = [pixels, usable]
        if self.checker:
            results.append(self.checker(images.nan_to_num().clamp(0, 1)))
        (pixels, usable, *nsfw), copied = _copy_to_host(results)
        return _PendingBatch(requests, latents, pixels, usable, nsfw[0] if nsfw else None, len(padded), copied)

    def _sample(self, requests: Sequence[GenerationRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scaled latents, [N, C, h, w], and decoded images, [N, 3, H, W]."""
        latents = self._sampler.latents(requests, self._device, self._dtype)
        return latents, self._sampler.decode(latents)

    def _finish(self, indices: list[int], batch: _PendingBatch) -> dict[int, GeneratedImage]:
        """Wait for the results of a batch, and retry unusable images. Returns the images by request index."""
        if batch.copied:
            batch.copied.synchronize()
        pixels, usable = batch.pixels.numpy(), batch.usable.tolist()
        nsfw = batch.nsfw.tolist() if batch.nsfw is not None else [None] * len(usable)
        return {
            index: GeneratedImage(pixels[row], batch.batch_size, (), nsfw[row])
            if usable[row]
            else self._retry(batch.requests[row], batch.latents[row : row + 1])
            for row, index in enumerate(indices)
        }

    def _retry(self, request: GenerationRequest, latents: torch.Tensor) -> GeneratedImage:
        """Decode an image again in float32 if its latents are finite. If it is still unusable, generate it again.

        Args:
            request: The request of the image.
            latents: The scaled latents of the first attempt, [1, C, h, w].

        Returns:
            The image. Its pixels are None if no retry succeeded, or if nothing was retried because the models
            use float32 already.
        """
        if self._dtype == torch.float32:
            return GeneratedImage(None, 1)
        retried: list[str] = []
        with torch.compiler.set_stance("force_eager"):  # compiling takes longer than one image
            image = self._retry_in_float32(request, latents, retried)
        return image or GeneratedImage(None, 1, tuple(retried))

    def _retry_in_float32(
        self, request: GenerationRequest, latents: torch.Tensor, retried: list[str]
    ) -> GeneratedImage | None:
        """Retry an image, and describe each attempt in `retried`. Returns None if all attempts failed."""
        image = None
        try:
            self._sampler.pipe.vae.to(torch.float32)
            if latents.isfinite().all():
                retried.append(DECODED_IN_FLOAT32)
                image = self._decode_single(request, latents.float(), retried)
            if image is None:
                retried.append(GENERATED_IN_FLOAT32)
                self._sampler.pipe.to(torch.float32)
                latents = self._sampler.latents([request], self._device, torch.float32, use_cache=False)
                image = self._decode_single(request, latents, retried)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            retried.append(OUT_OF_MEMORY)
        finally:
            self._sampler.pipe.to(self._dtype)
        return image

    def _decode_single(
        self, request: GenerationRequest, latents: torch.Tensor, retried: list[str]
    ) -> GeneratedImage | None:
        """Decode the latents of one image, [1, C, h, w]. Returns None if the image is unusable."""
        decoded = self._sampler.decode(latents)  # [1, 3, H, W], float32
        if not _is_usable(latents, decoded, [request]).item():
            return None
        images = self._sampler.compose_images(decoded, [request])
        nsfw = bool(self.checker(images.clamp(0, 1)).item()) if self.checker else None
        return GeneratedImage(_to_uint8(images)[0].cpu().numpy(), 1, tuple(retried), nsfw)


def _is_usable(latents: torch.Tensor, decoded: torch.Tensor, requests: Sequence[GenerationRequest]) -> torch.Tensor:
    """Return whether each image is finite, and has more than one colour unless its request allows a flat image.

    The test needs images that are neither clamped nor composed with photos, because both hide failures.

    Args:
        latents: Scaled latents, [N, C, h, w].
        decoded: Decoded images, [N, 3, H, W].
        requests: The N requests.

    Returns:
        [N], bool, on the device.
    """
    finite = latents.isfinite().flatten(1).all(1) & decoded.isfinite().flatten(1).all(1)  # [N], bool
    may_be_flat = torch.tensor([request.may_be_flat for request in requests]).to(decoded.device, non_blocking=True)
    colours = _to_uint8(decoded).flatten(1, 2)  # [N, H * W, 3], uint8
    return finite & ((colours.amax(1) != colours.amin(1)).any(1) | may_be_flat)


def _to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Convert images [N, 3, H, W], 0..1, to [N, H, W, 3], uint8, 0..255."""
    return (images.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _copy_to_host(tensors: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.cuda.Event | None]:
    """Start to copy tensors to pinned memory of the host.

    Returns:
        The tensors on the host, and the event after which they are valid. The event is None on the CPU.
    """
    if tensors[0].device.type != "cuda":
        return tensors, None
    copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for target, source in zip(copies, tensors, strict=True):
        target.copy_(source, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no type hints here
    copied.record()
    return copies, copied
