"""Files of weights, of which nothing is run: safetensors, and pickles that hold nothing but weights."""

import argparse
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.faults import ModelFault

_ARGUMENTS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]  # a plain record
# What torch raises over a file that is refused, cut off or changed on its way, wherever its reading then ends.
_BROKEN = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    struct.error, SafetensorError,
)  # fmt: skip


def read_weights(path: Path) -> dict[str, Any]:
    """Return what a file of weights holds, by name, on the CPU. Raises `ModelFault` for a file that holds no weights.

    PiDiNet's published file carries its training's arguments too, a record of numbers and texts.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_ARGUMENTS):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        message = f"{path}: no file of weights ({type(error).__name__})"
        raise ModelFault(message, "Fetch it anew: nothing but weights is loaded from it.") from error
    if not isinstance(state, dict):
        message = f"{path}: no file of weights (it holds a {type(state).__name__}, no names)"
        raise ModelFault(message, "Name a file that holds weights by their names.")
    return state
