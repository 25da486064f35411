"""Detect the control maps of a photo, one for each detector of the recipe, on the pixels that the converter receives.

A map of the manifest takes precedence over the detector. A detector whose weights are missing gives a black map if the
recipe allows it, and provenance says so. The variants of a photo are in one unit and share its maps. Maps that were
detected for another unit, recipe or run come from the cache.
"""

import functools
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from pipeline.detectors.base import BatchDetector, Detector, detector_version, load_detector, settings_json
from pipeline.detectors.inpaint import mask_out
from pipeline.errors import DetectorFailedError, MissingMaskError, describe_exception
from pipeline.images.arrays import Pixels
from pipeline.images.opening import DEFAULT_MAX_PIXELS
from pipeline.steps.canvas import canvas_mask
from pipeline.steps.map_cache import MapCache, map_key
from pipeline.steps.provided_maps import is_provided, provided_map
from pipeline.steps.row_step import TableStep, add_seconds, apply_step
from schemas.detectors import DetectorSettings, InpaintSettings
from schemas.recipe import Recipe
from schemas.row_parts import ControlMap, ModelColumns
from schemas.work import Decoded, Failed, Mapped

CPU = "cpu"  # where photos pass through a network one by one, so that a map does not depend on other photos
# Exceptions of detectors for unusual images. A GPU that is out of memory raises a RuntimeError too.
DETECTOR_ERRORS = (RuntimeError, ValueError, cv2.error)

Missing = tuple[Mapped, DetectorSettings]
"""A row and a detector whose map it still needs."""


@dataclass
class _UnitMaps:
    """The maps of the current unit by key, and which of them were detected here or already given to a row."""

    known: dict[str, Pixels] = field(default_factory=dict)
    detected: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    def take(self, key: str) -> bool:
        """Mark a map as used by a row. Returns whether it was detected before, for another row or run."""
        first = key in self.detected and key not in self.used
        self.used.add(key)
        return not first


class ControlMaps(TableStep[Decoded, Mapped]):
    """Detects the control maps of a recipe. A detector is loaded when a photo first needs it.

    Args:
        recipe: The recipe.
        blank: Detectors whose maps are black because their weights are missing.
        deferred: Detectors whose maps the GPU worker detects; those maps stay None.
        cache: Address of a folder of control maps.
        device: `cpu`, where a detector uses one thread, or `cuda`, where the photos of a unit share batches.
        max_pixels: The largest number of pixels of a map of the manifest.
    """

    def __init__(
        self,
        recipe: Recipe,
        blank: frozenset[str] = frozenset(),
        deferred: frozenset[str] = frozenset(),
        cache: str | None = None,
        device: str = CPU,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        super().__init__(Decoded, Mapped)
        cv2.setNumThreads(1)
        self._recipe, self._blank, self._deferred, self._device = recipe, blank, deferred, device
        self._max_pixels = max_pixels
        self._gpu_detectors = recipe.gpu_detectors
        self._cache = MapCache(cache)
        self._unit = _UnitMaps()
        self._detectors: dict[str, Detector] = {}
        self._model = functools.cache(_model_columns)  # hashes the weights, but does not load them

    def run(self, rows: Sequence[Decoded | Failed]) -> list[Mapped | Failed]:
        """Return rows with their control maps."""
        return self.complete([row if isinstance(row, Failed) else self._without_maps(row) for row in rows])

    def complete(self, rows: Sequence[Mapped | Failed]) -> list[Mapped | Failed]:
        """Return rows with the maps that they still miss."""
        rows = list(rows)
        missing = [(row, each) for row in rows if isinstance(row, Mapped) for each in self._to_detect(row)]
        self._unit = _UnitMaps(self._cache.read(self._key(row, settings) for row, settings in missing))
        seconds = self._detect_batches(missing) if self._device != CPU else {}
        mapped = [apply_step("controls", self._add_maps, row) for row in rows]
        self._cache.write({key: self._unit.known[key] for key in self._unit.detected})
        return [
            add_seconds(row, "controls", seconds[id(before)]) if id(before) in seconds else row
            for before, row in zip(rows, mapped, strict=True)
        ]

    def _without_maps(self, row: Decoded) -> Mapped:
        maps = (None,) * len(self._recipe.detectors)
        return Mapped(row.planned, row.timing, row.source, row.canvas, row.pixels, row.provided, row.reference, maps)

    def _add_maps(self, row: Mapped) -> Mapped:
        """Add the missing maps of a row, in the order of the recipe's detectors, and remove the provided files."""
        pairs = zip(self._recipe.detectors, row.maps, strict=True)
        maps = tuple(known or self._map(settings, row) for settings, known in pairs)
        return replace(row, maps=maps, provided=())

    def _map(self, settings: DetectorSettings, row: Mapped) -> ControlMap | None:
        """Return the map of one detector, or None if the GPU worker detects it."""
        provided = provided_map(settings, row, self._max_pixels)
        if provided is not None:
            return replace(_control_map(settings, provided.pixels, "manifest"), source_uri=provided.uri)
        if settings.name in self._blank:
            return _control_map(settings, np.zeros_like(row.pixels), "blank")
        if settings.name in self._deferred:
            return None
        if settings.shows_photo:
            return _with_detector(_control_map(settings, self._photo_map(settings, row), "photo"), settings)
        key = self._key(row, settings)
        if key not in self._unit.known:
            self._unit.known[key] = self._detect(settings, row.pixels)
            self._unit.detected.add(key)
        return replace(
            _with_detector(_control_map(settings, self._unit.known[key], "detected"), settings),
            cached=self._unit.take(key),
            device=self._device_of(settings),
            model=self._model(settings),
        )

    def _photo_map(self, settings: DetectorSettings, row: Mapped) -> Pixels:
        """Return the map of a detector that copies or blurs the photo. The map of inpaint is black under a mask."""
        pixels = self._detect(settings, row.pixels)
        if not isinstance(settings, InpaintSettings):
            return pixels
        mask = canvas_mask(row.canvas)
        if mask is not None:
            return mask_out(pixels, mask)
        if self._recipe.mode == "inpaint" and self._recipe.region.of != "mask":
            return pixels  # the converter finds the region later, and masks it in this map
        raise MissingMaskError("inpaint: the photo has no mask_uri in the manifest")

    def _detect(self, settings: DetectorSettings, pixels: Pixels) -> Pixels:
        detector = self._detector(settings)  # outside the try: invalid weights are an error of the run
        try:
            return detector(pixels)
        except DETECTOR_ERRORS as error:
            raise DetectorFailedError(f"{settings.name}: {describe_exception(error)}") from error

    def _detect_batches(self, missing: list[Missing]) -> dict[int, float]:
        """Detect missing maps in batches of one shape. Returns the seconds by id(row), for the rows of the batches.

        A batch that fails is repeated row by row later, so that only the photo that caused the error fails.
        """
        seconds: dict[int, float] = {}
        for settings, rows in _by_detector(missing):
            waiting = {key: row for row in rows if (key := self._key(row, settings)) not in self._unit.known}
            detector = self._detector(settings) if waiting else None
            if not isinstance(detector, BatchDetector):
                continue
            for keys in _batches(waiting, self._recipe.batch_size):
                begin = time.perf_counter()
                try:
                    maps = detector.batch(np.stack([waiting[key].pixels for key in keys]))  # [N, H, W, 3], uint8
                except DETECTOR_ERRORS:
                    continue
                self._unit.known |= dict(zip(keys, maps, strict=True))
                self._unit.detected |= set(keys)
                share = (time.perf_counter() - begin) / len(keys)
                for key in keys:
                    seconds[id(waiting[key])] = seconds.get(id(waiting[key]), 0.0) + share
        return seconds

    def _to_detect(self, row: Mapped) -> Iterator[DetectorSettings]:
        """Yield the detectors whose maps of a row are to be detected here, or read from the cache."""
        elsewhere = self._blank | self._deferred | {each.detector for each in row.maps if each}
        for settings in self._recipe.detectors:
            if settings.name not in elsewhere and not settings.shows_photo and not is_provided(settings, row):
                yield settings

    def _detector(self, settings: DetectorSettings) -> Detector:
        if settings.name not in self._detectors:
            self._detectors[settings.name] = load_detector(settings, self._device_of(settings))
        return self._detectors[settings.name]

    def _key(self, row: Mapped, settings: DetectorSettings) -> str:
        model = self._model(settings)
        weights = model.sha256 if model else None
        return map_key(row, settings, weights, f"{self._device_of(settings)} {self._recipe.background}")

    def _device_of(self, settings: DetectorSettings) -> str:
        """Return the device of a detector: that of this process for `Recipe.gpu_detectors`, and the CPU for others."""
        return self._device if settings.name in self._gpu_detectors else CPU


def _control_map(settings: DetectorSettings, pixels: Pixels, origin: str) -> ControlMap:
    digest = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
    return ControlMap(detector=settings.name, origin=origin, sha256=digest, pixels=pixels)


def _with_detector(control_map: ControlMap, settings: DetectorSettings) -> ControlMap:
    """Return a map with the version and the settings of its detector."""
    return replace(control_map, version=detector_version(settings), settings=settings_json(settings))


def _model_columns(settings: DetectorSettings) -> ModelColumns | None:
    """Return the columns of a detector's network, or None if it has none."""
    # Imported here because it takes 0.2 s, and most processes need no model.
    from pipeline.models import resolve

    located = resolve.locate_detector(settings)
    return located.columns() if located else None


def _by_detector(missing: list[Missing]) -> Iterator[tuple[DetectorSettings, list[Mapped]]]:
    for settings in dict.fromkeys(settings for _, settings in missing):
        yield settings, [row for row, needed in missing if needed == settings]


def _batches(waiting: dict[str, Mapped], size: int) -> Iterator[list[str]]:
    """Yield the keys of at most `size` rows whose canvases have one shape."""
    shapes: dict[tuple[int, int], list[str]] = {}
    for key, row in waiting.items():
        shapes.setdefault((row.canvas.width, row.canvas.height), []).append(key)
    for keys in shapes.values():
        yield from (keys[start : start + size] for start in range(0, len(keys), size))
