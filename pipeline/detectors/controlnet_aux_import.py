"""controlnet_aux, imported so that it bears mediapipe 1.x beside it.

Its face detector asks mediapipe for `solutions`, which 1.x has no more, and with it the whole package would fail to
import. Without mediapipe it goes on; so mediapipe is hidden while it is imported. The face detector is not used here.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let imports of a module fail as if it were not installed."""
    missing = object()
    kept = sys.modules.get(name, missing)
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own mark of a module that must not be imported
    try:
        yield
    finally:
        if kept is missing:
            del sys.modules[name]
        else:
            sys.modules[name] = kept  # type: ignore[assignment]  # what was there before


with _hidden("mediapipe"), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it misses, and of names in timm that have moved
    import controlnet_aux

__all__ = ["controlnet_aux"]
