"""Rows with their control maps in, rows with pictures out. Tensors are `pipeline.diffusion`'s business.

A picture that cannot be had, or that the recipe's safety checker drops, is a failure of its row, and never a black one.
"""

import hashlib
import time

import numpy as np
import pyarrow as pa

from pipeline import storage
from pipeline.diffusion.request import GeneratedImage, GenerationRequest, Mask, Pixels
from pipeline.errors import (
    ControlMapError,
    ImageError,
    ModelError,
    PromptError,
    StorageError,
    UnsafeImageError,
    UnusableImageError,
)
from pipeline.images.photo import read_upright
from pipeline.steps.canvas import as_pixels, row_mask
from pipeline.steps.inpaint_region import inpaint_region
from pipeline.steps.row_step import RowStep, add_seconds, failure
from schemas.recipe import Recipe
from schemas.work import CONVERTED, Row


class Converter:
    """Holds the diffusion pipeline of a recipe and maps batches. Raises `ModelError` for weights that do not fit."""

    def __init__(self, recipe: Recipe, compile_cache: str | None = None) -> None:
        # Here, not above: torch and diffusers take seconds, and this actor alone has them.
        from pipeline.diffusion.generator import ImageGenerator

        self._recipe = recipe
        self._diffusion = ImageGenerator(recipe, compile_cache=compile_cache)
        self._reference = _recipes_reference(recipe)  # the file's bytes, decoded once
        self._decoded = np.asarray(read_upright(self._reference)) if self._reference else None
        self._requests: dict[int, GenerationRequest] = {}  # of the batch in work, by the row's identity
        self._each = RowStep("convert", self._ask, CONVERTED)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a batch of `schemas.work.MAPPED` as one of `CONVERTED`."""
        rows = [self._each.one(row) for row in batch.to_pylist()]
        asked = [row for row in rows if not row["failure"]]
        began, warming = time.perf_counter(), self._diffusion.warming_seconds
        drawings = self._diffusion.generate([self._requests[id(row)] for row in asked])
        spent = time.perf_counter() - began - (self._diffusion.warming_seconds - warming)
        for row, drawing in zip(asked, drawings, strict=True):
            self._note(row, drawing)
            add_seconds(row, "convert", spent / len(asked))
        self._requests.clear()
        return pa.Table.from_pylist(rows, CONVERTED)

    def _ask(self, row: Row) -> Row:
        """Note what a row asks for. Raises `PhotoError` where that cannot be drawn."""
        if row["prompt_error"]:
            raise PromptError(row["prompt_error"])
        maps = [as_pixels(row, drawn["pixels"]) for drawn in row["maps"]]
        region = inpaint_region(row, self._recipe) if self._recipe.mode == "inpaint" else None
        request = GenerationRequest(
            photo=as_pixels(row, row["pixels"]),
            maps=tuple(maps[: len(self._recipe.controls)]),
            prompt=row["prompt"],
            negative_prompt=row["negative_prompt"],
            seed=row["seed"],
            mask=region if region is not None else _covered(row),
            inpaint_region=region,
            reference=self._reference_of(row),
        )
        self._diffusion.check(request)
        self._requests[id(row)] = request
        return row

    def _note(self, row: Row, drawing: GeneratedImage) -> None:
        """Add a drawing to its row, or why there is none."""
        seen = row["reference_bytes"] or self._reference if self._recipe.ip_adapter else None
        reference = {"reference_sha256": hashlib.sha256(seen).hexdigest() if seen else None}
        row["made_by"] = self._diffusion.made_by(self._requests[id(row)], drawing) | reference
        if drawing.pixels is None:
            tried = ", ".join(drawing.retried) or "there was nothing left to try"
            row["failure"] = failure("convert", UnusableImageError(f"not finite, or of one colour ({tried})"))
        elif drawing.nsfw and self._recipe.safety.policy == "drop":
            row["failure"] = failure("convert", UnsafeImageError("dropped by the safety checker"))
        else:
            row["picture"] = drawing.pixels.tobytes()

    def _reference_of(self, row: Row) -> Pixels | None:
        """Return the picture that an IP-Adapter is to see for a row: its own, or the recipe's."""
        if not self._recipe.ip_adapter:
            return None
        if row["reference_bytes"]:
            return np.asarray(read_upright(row["reference_bytes"]))
        if self._decoded is None:
            message = "the IP-Adapter has no reference: neither reference_uri in the manifest nor one in the recipe"
            raise ControlMapError(message)
        return self._decoded


def _recipes_reference(recipe: Recipe) -> bytes | None:
    """Return the recipe's own reference picture as a file. Raises `ModelError` where it cannot be read."""
    if not recipe.ip_adapter or not recipe.ip_adapter.reference:
        return None
    uri = recipe.ip_adapter.reference
    try:
        content = storage.read(uri)
        read_upright(content)
    except (ImageError, StorageError, OSError) as error:
        message = f"ip_adapter.reference {storage.redact(uri)}: cannot be read ({error})"
        raise ModelError(message, "Name a picture.") from error
    return content


def _covered(row: Row) -> Mask | None:
    """Return what the manifest's mask covers, which an inpaint net is told."""
    return None if row["mask"] is None else row_mask(row)
