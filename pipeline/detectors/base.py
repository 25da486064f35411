"""What a detector is, and how one is loaded by its settings."""

import json
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from pipeline import storage
from pipeline.images.arrays import Batch, Pixels
from pipeline.models import resolve
from schemas.detectors import DetectorSettings, NetworkSettings, Settings

if TYPE_CHECKING:
    from pipeline.detectors.keypoints import Person

Detector = Callable[[Pixels], Pixels]
"""Returns the control map of a picture, as high and wide, RGB; the picture is not changed."""


@runtime_checkable
class BatchDetector(Protocol):
    """A detector that also takes pictures of one shape together, as a GPU likes them."""

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the control map of a picture."""
        ...

    def batch(self, photos: Batch) -> Batch:
        """Return the control maps of pictures of one shape."""
        ...


@runtime_checkable
class PoseDetector(Protocol):
    """A detector that also tells where people are."""

    def people(self, pixels: Pixels) -> "list[Person]":
        """Return everyone in a picture."""
        ...


def load_detector(settings: DetectorSettings, device: str = "cpu") -> Detector:
    """Return the detector that `settings` name, its network loaded on `device` (`cpu` or `cuda`).

    The file is named after the detector, and the class too. Raises `ModelError` where weights are missing.
    """
    # Imported here: each detector's library takes seconds, and a run needs few of them.
    module = import_module(f"pipeline.detectors.{settings.name}")
    kind: Any = getattr(module, settings.name.title().replace("_", ""))
    if not isinstance(settings, NetworkSettings):
        return cast("Detector", kind(settings))
    found = resolve.locate_detector(settings)
    return cast("Detector", kind(settings, found.folder if found else None, device))


def settings_json(settings: Settings) -> str:
    """Return the settings that provenance shows: all but the name, and no secret of an address."""
    return json.dumps(storage.redact_all(settings.model_dump(exclude={"name"})), sort_keys=True)


def detector_version(settings: Settings) -> str:
    """Return the library that does a detector's work, and its version."""
    return f"{settings.library} {version(settings.library)}"
