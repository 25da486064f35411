"""The interface of detectors, and the function that loads a detector from its settings.

The field `name` of the settings identifies a detector in recipes, on the command line and in the manifest.
`load_detector` derives the names of the module and the class from it. `.github/CONTRIBUTING.md` explains how to add a
detector.
"""

import json
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from pipeline import storage
from pipeline.images.arrays import Batch, Pixels
from schemas.detectors import DetectorSettings, NetworkSettings, Settings

if TYPE_CHECKING:
    from pipeline.detectors.keypoints import Person

Detector = Callable[[Pixels], Pixels]
"""Returns the control map of an image: [H, W, 3], uint8, RGB, 0..255, of the same height and width.

The map depends on the image and the settings alone. The detector does not write to the image.
"""


@runtime_checkable
class BatchDetector(Protocol):
    """A detector that also accepts several images of one shape, which is faster on a GPU."""

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the control map of an image."""
        ...

    def batch(self, photos: Batch) -> Batch:
        """Return the control maps of images of one shape."""
        ...


@runtime_checkable
class PoseDetector(Protocol):
    """A detector that also returns the people in an image."""

    def people(self, pixels: Pixels) -> "list[Person]":
        """Return the people in an image."""
        ...


def load_detector(settings: DetectorSettings, device: str = "cpu") -> Detector:
    """Load the detector that the settings name.

    Args:
        settings: The settings of the detector.
        device: `cpu` or `cuda`, for a detector with a network.

    Raises:
        ModelError: Weights are missing or invalid.
        MissingPackageError: The package of the detector needs a system library that is missing.
    """
    # Imported late: the libraries of the detectors take seconds to import, and a recipe uses few of them.
    module = import_module(f"pipeline.detectors.{settings.name}")
    detector_class: Any = getattr(module, settings.name.title().replace("_", ""))
    if not isinstance(settings, NetworkSettings):
        return cast("Detector", detector_class(settings))
    # Imported here because it takes 0.2 s, and most processes need no model.
    from pipeline.models import resolve

    located = resolve.locate_detector(settings)
    return cast("Detector", detector_class(settings, located.folder if located else None, device))


def settings_json(settings: Settings) -> str:
    """Return all settings but the name as JSON for provenance, with redacted credentials in addresses."""
    return json.dumps(storage.redact_all(settings.model_dump(exclude={"name"})), sort_keys=True)


def detector_version(settings: Settings) -> str:
    """Return the name and the version of the library that a detector uses."""
    return f"{settings.library} {version(settings.library)}"
