"""Every error of the project, in one tree.

    Fault
    ├── PhotoFault              one photo cannot be converted: it becomes a row, the run goes on
    │   ├── FetchFault          its bytes cannot be had (missing, refused, out of reach)
    │   ├── DecodeFault         its bytes are no picture that can be read
    │   ├── LabelFault          a label that the manifest brings is none
    │   ├── ControlFault        a control map cannot be made of it
    │   ├── PromptFault         a prompt that the text encoder's syntax does not allow
    │   ├── PictureFault        the converter gave no usable picture
    │   └── UnsafeFault         the safety checker found what the recipe drops
    └── RunFault                exit code 2: the run does not start, nothing was written or lost
        ├── RecipeFault         the recipe, or a setting of it
        ├── ManifestFault       the manifest, or what it must hold
        ├── ModelFault          weights that a recipe names and nobody has
        ├── OutputFault         the output folder: another recipe's, full, closed
        ├── StorageFault        credentials, buckets, addresses
        └── StoppedFault        exit code 1: the run began and ended early; the same command goes on

A `PhotoFault` says whether a retry can help. A `RunFault` says what is wrong, and how to mend it, in one line.
"""

from typing import ClassVar


class Fault(Exception):
    """Anything that photo2anime raises on purpose."""


class PhotoFault(Fault):
    """One photo cannot be converted; recorded in provenance by `pipeline.steps.row_step.Each` alone.

    `retryable` tells whether the same photo may succeed another time (a network's fault) or not (a broken file).
    `attempts` is how often the step was tried before it gave up.
    """

    def __init__(self, message: str, *, retryable: bool = False, attempts: int = 1) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.attempts = attempts


class FetchFault(PhotoFault):
    """The photo's bytes cannot be had."""


class DecodeFault(PhotoFault):
    """The photo's bytes are no picture that can be read."""


class LabelFault(PhotoFault):
    """A box, keypoints or a mask that the manifest brings are unusable."""


class ControlFault(PhotoFault):
    """A control map cannot be made, or what the manifest brought for it is unusable."""


class PictureFault(PhotoFault):
    """The converter gave no usable picture: not finite, or of one colour."""


class PromptFault(PhotoFault):
    """The photo's prompt is none that can be read."""


class UnsafeFault(PhotoFault):
    """The safety checker found in the picture what the recipe drops."""


class RunFault(Fault):
    """The run cannot start: one line that says what is wrong, and `mend`, what to do about it."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, mend: str = "") -> None:
        one_line = " ".join(f"{message}. {mend}".split()) if mend else " ".join(message.split())
        super().__init__(one_line)


class RecipeFault(RunFault):
    """The recipe, or a setting of it."""


class ManifestFault(RunFault):
    """The manifest, or what it must hold."""


class ModelFault(RunFault):
    """Weights that the recipe names are not to be had."""


class OutputFault(RunFault):
    """The output: another recipe's, full, or not writable."""


class StorageFault(RunFault):
    """An address that cannot be read or written: credentials, buckets, a missing file system."""


class StoppedFault(RunFault):
    """The run began and ended early; what it recorded stands, and the same command goes on from there."""

    exit_code: ClassVar[int] = 1
