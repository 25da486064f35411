"""The control maps of a photo, one per control of the recipe, on exactly the pixels that the converter sees.

What the manifest brings beats what a detector would find. A detector whose weights are missing draws black where the
recipe allows it, and provenance says so. The variants of a photo stand in one unit and share its maps; what was drawn
for another unit, recipe or run comes from the cache.
"""

import functools
import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import pyarrow as pa

from pipeline.detectors.base import BatchDetector, Detector, detector_version, load_detector, settings_json
from pipeline.detectors.inpaint import mask_out
from pipeline.errors import ControlMapError
from pipeline.images.arrays import Pixels
from pipeline.models import resolve
from pipeline.steps.canvas import as_pixels, row_mask
from pipeline.steps.map_cache import MapCache, map_key
from pipeline.steps.provided_maps import is_provided, provided_map
from pipeline.steps.row_step import RowStep, add_seconds
from schemas.detectors import DetectorSettings, InpaintSettings
from schemas.recipe import Recipe
from schemas.work import MAPPED, Row

CPU = "cpu"  # where photos go through a network one by one: a map then does not depend on the photos beside it
# What the detectors' libraries raise over odd pixels; memory of a GPU that does not suffice is a RuntimeError too.
DETECTOR_ERRORS = (RuntimeError, ValueError, cv2.error)


@dataclass
class _Unit:
    """The maps of the unit in work, by key: all that are known, and which of them were drawn here or handed out."""

    known: dict[str, Pixels] = field(default_factory=dict)
    drawn: set[str] = field(default_factory=set)
    handed: set[str] = field(default_factory=set)

    def hand_out(self, key: str) -> bool:
        """Note that a row takes this map; tell whether it was there before, for another row or run."""
        first = key in self.drawn and key not in self.handed
        self.handed.add(key)
        return not first


class ControlMaps:
    """Draws the control maps of a recipe; a detector is loaded when a photo first needs it.

    `blank` names the detectors whose maps are black because their weights are missing. `left` names those that are left
    to another process, which gets the rows next: their maps stay null here. `device` is `cpu`, of which one thread is
    taken, or `cuda`, where the photos of a unit go through a network together. `cache` is a folder's address.
    """

    def __init__(
        self,
        recipe: Recipe,
        blank: frozenset[str] = frozenset(),
        left: frozenset[str] = frozenset(),
        cache: str | None = None,
        device: str = "cpu",
    ) -> None:
        cv2.setNumThreads(1)
        self._recipe, self._blank, self._left, self._device = recipe, blank, left, device
        self._joined = recipe.gpu_detectors
        self._cache = MapCache(cache)
        self._unit = _Unit()
        self._loaded: dict[str, Detector] = {}
        self._model = functools.cache(_located)  # reads the weights, but does not load them
        self._each = RowStep("controls", self.draw, MAPPED)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a batch of `schemas.work.DECODED`, or of `MAPPED` with null maps, as one of `MAPPED`."""
        rows = batch.to_pylist()
        wanted = [(row, settings) for row in rows if not row["failure"] for settings in self._to_detect(row)]
        self._unit = _Unit(self._cache.read(self._key(row, settings) for row, settings in wanted))
        if self._device != CPU:
            self._draw_ahead(wanted)
        mapped = self._each.rows(rows)
        self._cache.write({key: self._unit.known[key] for key in self._unit.drawn})
        return mapped

    def draw(self, row: Row) -> Row:
        """Add `maps` to a row, in the order of the recipe's controls. Raises `ControlMapError`."""
        pixels = as_pixels(row, row["pixels"])  # [H, W, 3], RGB, 0..255
        before = row.get("maps") or itertools.repeat(None)
        row["maps"] = [
            drawn or self._one(settings, row, pixels)
            for settings, drawn in zip(self._recipe.detectors, before, strict=False)
        ]
        return row

    def _one(self, settings: DetectorSettings, row: Row, pixels: Pixels) -> Row | None:
        """Return the columns of `schemas.work.CONTROL_MAP`; None for a map that another process draws."""
        given = provided_map(settings, row)
        if given is not None:
            return _as_row(settings, given.pixels, "manifest") | {"source_uri": given.uri}
        if settings.name in self._blank:
            return _as_row(settings, np.zeros_like(pixels), "blank")
        if settings.name in self._left:
            return None
        facts = {"version": detector_version(settings), "settings": settings_json(settings)}
        if settings.is_the_photo:
            return _as_row(settings, self._of_photo(settings, row, pixels), "photo") | facts
        key = self._key(row, settings)
        if key not in self._unit.known:
            self._unit.known[key] = self._detect(settings, pixels)
            self._unit.drawn.add(key)
        found = _as_row(settings, self._unit.known[key], "detected") | facts
        return found | {
            "cached": self._unit.hand_out(key), "device": self._place(settings), "model": self._model(settings),
        }  # fmt: skip

    def _of_photo(self, settings: DetectorSettings, row: Row, pixels: Pixels) -> Pixels:
        """Return the map of a detector that shows the photo; what the manifest's mask covers is black in inpaint's."""
        drawn = self._detect(settings, pixels)
        if not isinstance(settings, InpaintSettings):
            return drawn
        if row["mask"] is None and self._recipe.mode == "inpaint" and self._recipe.region.of != "mask":
            return drawn  # the converter takes out what it finds to be the region
        if row["mask"] is None:
            message = "inpaint: the manifest gives no mask_uri for this photo"
            raise ControlMapError(message)
        return mask_out(drawn, row_mask(row))

    def _detect(self, settings: DetectorSettings, pixels: Pixels) -> Pixels:
        detector = self._detector(settings)  # what fails over its weights is no photo's fault
        try:
            return detector(pixels)
        except DETECTOR_ERRORS as error:
            message = f"{settings.name}: {type(error).__name__}: {error}"
            raise ControlMapError(message) from error

    def _draw_ahead(self, wanted: list[tuple[Row, DetectorSettings]]) -> None:
        """Draw what the rows will ask for in batches of one shape; what fails is left to its row, to fail alone."""
        for settings, rows in _by_detector(wanted):
            missing = {key: row for row in rows if (key := self._key(row, settings)) not in self._unit.known}
            detector = self._detector(settings) if missing else None
            if not isinstance(detector, BatchDetector):
                continue
            for keys in _batches(missing, self._recipe.batch_size):
                began = time.perf_counter()
                try:
                    drawn = detector.batch(np.stack([as_pixels(missing[key], missing[key]["pixels"]) for key in keys]))
                except DETECTOR_ERRORS:
                    continue
                self._unit.known |= dict(zip(keys, drawn, strict=True))
                self._unit.drawn |= set(keys)
                for key in keys:
                    add_seconds(missing[key], "controls", (time.perf_counter() - began) / len(keys))

    def _to_detect(self, row: Row) -> Iterator[DetectorSettings]:
        """Yield the detectors whose maps of a row are to be drawn or to be looked up here."""
        elsewhere = self._blank | self._left | {each["detector"] for each in row.get("maps") or [] if each}
        for settings in self._recipe.detectors:
            if settings.name not in elsewhere and not settings.is_the_photo and not is_provided(settings, row):
                yield settings

    def _detector(self, settings: DetectorSettings) -> Detector:
        if settings.name not in self._loaded:
            self._loaded[settings.name] = load_detector(settings, self._place(settings))
        return self._loaded[settings.name]

    def _key(self, row: Row, settings: DetectorSettings) -> str:
        model = self._model(settings)
        weights = model["sha256"] if model else None
        return map_key(row, settings, weights, f"{self._place(settings)} {self._recipe.background}")

    def _place(self, settings: DetectorSettings) -> str:
        """Return where a detector runs: on this process's device if it gains from a GPU, else on the CPU."""
        return self._device if settings.name in self._joined else CPU


def _as_row(settings: DetectorSettings, drawn: Pixels, origin: str) -> Row:
    raw = drawn.tobytes()
    return {"detector": settings.name, "origin": origin, "sha256": hashlib.sha256(raw).hexdigest(), "pixels": raw}


def _located(settings: DetectorSettings) -> dict[str, str] | None:
    """Return the columns of `schemas.work.MODEL` of a detector's network; None where it has none."""
    found = resolve.locate_detector(settings)
    return found.as_row() if found else None


def _by_detector(wanted: list[tuple[Row, DetectorSettings]]) -> Iterator[tuple[DetectorSettings, list[Row]]]:
    for settings in dict.fromkeys(settings for _, settings in wanted):
        yield settings, [row for row, asked in wanted if asked == settings]


def _batches(missing: dict[str, Row], size: int) -> Iterator[list[str]]:
    """Cut keys into batches whose canvases have one shape."""
    shapes: dict[tuple[int, int], list[str]] = {}
    for key, row in missing.items():
        shapes.setdefault((row["width"], row["height"]), []).append(key)
    for keys in shapes.values():
        yield from (keys[start : start + size] for start in range(0, len(keys), size))
