"""Every error of the project, in one tree.

    Fault
    ├── PhotoError              one photo cannot be converted: it becomes a row, the run goes on
    │   ├── FetchError          its bytes cannot be had (missing, refused, out of reach)
    │   ├── DecodeError         its bytes are no picture that can be read
    │   ├── LabelError          a label that the manifest brings is none
    │   ├── ControlMapError        a control map cannot be made of it
    │   ├── PromptError         a prompt that the text encoder's syntax does not allow
    │   ├── UnusableImageError        the converter gave no usable picture
    │   └── UnsafeImageError         the safety checker found what the recipe drops
    └── RunError                exit code 2: the run does not start, nothing was written or lost
        ├── RecipeError         the recipe, or a setting of it
        ├── ManifestError       the manifest, or what it must hold
        ├── ModelError          weights that a recipe names and nobody has
        ├── OutputError         the output folder: another recipe's, full, closed
        ├── StorageError        credentials, buckets, addresses
        └── RunStoppedError        exit code 1: the run began and ended early; the same command goes on

A `PhotoError` says whether a retry can help. A `RunError` says what is wrong, and how to hint it, in one line.
"""

from typing import ClassVar


class Photo2AnimeError(Exception):
    """Anything that photo2anime raises on purpose."""


class PhotoError(Photo2AnimeError):
    """One photo cannot be converted; recorded in provenance by `pipeline.steps.row_step.RowStep` alone.

    `retryable` tells whether the same photo may succeed another time (a network's error) or not (a broken file).
    `attempts` is how often the step was tried before it gave up.
    """

    def __init__(self, message: str, *, retryable: bool = False, attempts: int = 1) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.attempts = attempts


class FetchError(PhotoError):
    """The photo's bytes cannot be had."""


class DecodeError(PhotoError):
    """The photo's bytes are no picture that can be read."""


class LabelError(PhotoError):
    """A box, keypoints or a mask that the manifest brings are unusable."""


class ControlMapError(PhotoError):
    """A control map cannot be made, or what the manifest brought for it is unusable."""


class UnusableImageError(PhotoError):
    """The converter gave no usable picture: not finite, or of one colour."""


class PromptError(PhotoError):
    """The photo's prompt is none that can be read."""


class UnsafeImageError(PhotoError):
    """The safety checker found in the picture what the recipe drops."""


class RunError(Photo2AnimeError):
    """The run cannot start: one line that says what is wrong, and `hint`, what to do about it."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, hint: str = "") -> None:
        one_line = " ".join(f"{message}. {hint}".split()) if hint else " ".join(message.split())
        super().__init__(one_line)


class RecipeError(RunError):
    """The recipe, or a setting of it."""


class ManifestError(RunError):
    """The manifest, or what it must hold."""


class ModelError(RunError):
    """Weights that the recipe names are not to be had."""


class OutputError(RunError):
    """The output: another recipe's, full, or not writable."""


class StorageError(RunError):
    """An address that cannot be read or written: credentials, buckets, a missing file system."""


class RunStoppedError(RunError):
    """The run began and ended early; what it recorded stands, and the same command goes on from there."""

    exit_code: ClassVar[int] = 1
