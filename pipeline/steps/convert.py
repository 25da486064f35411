"""Convert rows with control maps to rows with images. `pipeline.diffusion` handles the tensors.

A row whose image is unusable, or dropped by the recipe's safety checker, fails. A black image is never written.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline import storage
from pipeline.errors import (
    ImageError,
    MissingReferenceError,
    ModelError,
    PhotoError,
    PromptTemplateError,
    StorageError,
    UnsafeImageError,
    UnusableImageError,
)
from pipeline.images.arrays import Pixels
from pipeline.images.opening import DEFAULT_MAX_PIXELS
from pipeline.images.photo import read_upright
from pipeline.steps.canvas import canvas_mask, map_pixels
from pipeline.steps.inpaint_region import inpaint_region
from pipeline.steps.row_step import TableStep, add_seconds, apply_step, failed_row
from schemas.recipe import Recipe
from schemas.work import Converted, Failed, Mapped

if TYPE_CHECKING:
    from pipeline.diffusion.request import GeneratedImage, GenerationRequest


class Converter(TableStep[Mapped, Converted]):
    """Holds the diffusion pipeline of a recipe, and converts the rows of a unit together.

    Args:
        recipe: The recipe.
        compile_cache: Address of a folder of compiled models.
        keep_maps: Whether a later step needs the pixels of the control maps.
        max_pixels: The largest number of pixels of a reference image.

    Raises:
        ModelError: Weights or the reference image are missing or invalid, or weights do not fit together.
    """

    def __init__(
        self,
        recipe: Recipe,
        compile_cache: str | None = None,
        *,
        keep_maps: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        # Imported here because diffusers takes seconds to import, and only this process needs it.
        from pipeline.diffusion.generator import ImageGenerator

        super().__init__(Mapped, Converted)
        self._recipe = recipe
        self._keep_maps = keep_maps
        self._generator = ImageGenerator(recipe, compile_cache=compile_cache)
        self._max_pixels = max_pixels
        self._reference, self._reference_pixels = _recipe_reference(recipe, max_pixels)
        self._requests: dict[str, GenerationRequest] = {}  # of the current unit, by the key of the row

    def run(self, rows: Sequence[Mapped | Failed]) -> list[Converted | Failed]:
        """Return rows with images, in order."""
        checked = [apply_step("convert", self._check, row) for row in rows]
        ready = [row for row in checked if isinstance(row, Mapped)]
        begin, warming = time.perf_counter(), self._generator.warming_seconds
        images = self._generator.generate([self._requests[row.planned.key] for row in ready])
        seconds = time.perf_counter() - begin - (self._generator.warming_seconds - warming)
        converted = {
            row.planned.key: add_seconds(self._finish(row, image), "convert", seconds / len(ready))
            for row, image in zip(ready, images, strict=True)
        }
        self._requests.clear()
        return [row if isinstance(row, Failed) else converted[row.planned.key] for row in checked]

    def _check(self, row: Mapped) -> Mapped:
        """Prepare the request of a row. Raises `PhotoError` if the row cannot be converted."""
        if row.planned.prompt_error:
            raise PromptTemplateError(row.planned.prompt_error)
        region = inpaint_region(row, self._recipe) if self._recipe.mode == "inpaint" else None
        request = self._request(row, region)
        self._generator.check(request)
        self._requests[row.planned.key] = request
        return row

    def _request(self, row: Mapped, region: np.ndarray | None) -> "GenerationRequest":
        from pipeline.diffusion.request import GenerationRequest

        maps = [map_pixels(control_map) for control_map in row.maps[: len(self._recipe.controls)]]
        return GenerationRequest(
            photo=row.pixels,
            maps=tuple(maps),
            prompt=row.planned.prompt,
            negative_prompt=row.planned.negative_prompt,
            seed=row.planned.seed,
            mask=region if region is not None else canvas_mask(row.canvas),
            inpaint_region=region,
            reference=self._reference_of(row),
        )

    def _finish(self, row: Mapped, image: "GeneratedImage") -> Converted | Failed:
        """Return the row with its image, or the failed row if the image is unusable or unsafe."""
        made_by = self._generator.made_by(self._requests[row.planned.key], image)
        made_by = replace(made_by, reference_sha256=self._reference_sha256(row))
        if image.pixels is None:
            tried = ", ".join(image.retried) or "without retries"
            error: PhotoError = UnusableImageError(f"image: values are not finite, or of a single colour ({tried})")
        elif image.nsfw and self._recipe.safety.policy == "drop":
            error = UnsafeImageError("image: dropped by the safety checker")
        else:
            maps = tuple(each if self._keep_maps else replace(each, pixels=None) for each in row.maps if each)
            return Converted(row.planned, row.timing, row.source, row.canvas, maps, made_by, image.pixels)
        return replace(failed_row(row, "convert", error), made_by=made_by)

    def _reference_of(self, row: Mapped) -> Pixels | None:
        """Return the image that the IP-Adapter receives for a row: the row's own, or the recipe's."""
        if not self._recipe.ip_adapter:
            return None
        if row.reference:
            return np.asarray(read_upright(row.reference, max_pixels=self._max_pixels))
        if self._reference_pixels is None:
            raise MissingReferenceError("ip_adapter: neither the manifest nor the recipe has a reference image")
        return self._reference_pixels

    def _reference_sha256(self, row: Mapped) -> str | None:
        content = (row.reference or self._reference) if self._recipe.ip_adapter else None
        return hashlib.sha256(content).hexdigest() if content else None


def _recipe_reference(recipe: Recipe, max_pixels: int) -> tuple[bytes | None, Pixels | None]:
    """Return the content and the pixels of the recipe's reference image. Raises `ModelError` if it cannot be read."""
    if not recipe.ip_adapter or not recipe.ip_adapter.reference:
        return None, None
    uri = recipe.ip_adapter.reference
    try:
        content = storage.read(uri)
        pixels = np.asarray(read_upright(content, max_pixels=max_pixels))
    except (ImageError, StorageError, OSError) as error:
        raise ModelError(f"ip_adapter.reference {storage.redact(uri)}: {error}", "Name an image file.") from error
    return content, pixels
