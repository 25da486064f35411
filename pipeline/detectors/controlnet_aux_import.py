"""Import controlnet_aux in an environment that has mediapipe 1.x.

The face detector of controlnet_aux needs `mediapipe.solutions`, which mediapipe 1.x removed, so the import of the whole
package fails. If mediapipe is not installed, controlnet_aux omits its face detector, which this project does not use.
Therefore mediapipe is hidden during the import.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Make the import of a module fail as if the module were not installed."""
    missing = object()
    module = sys.modules.get(name, missing)
    sys.modules[name] = None  # type: ignore[assignment]  # None makes `import` raise ModuleNotFoundError
    try:
        yield
    finally:
        if module is missing:
            del sys.modules[name]
        else:
            sys.modules[name] = module  # type: ignore[assignment]  # restores the imported module


with _hidden("mediapipe"), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # hides warnings about the missing mediapipe and about renamed modules of timm
    import controlnet_aux

__all__ = ["controlnet_aux"]
