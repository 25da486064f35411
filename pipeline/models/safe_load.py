"""Files of weights, of which nothing is run: safetensors, and pickles that hold nothing but weights."""

import argparse
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoImageProcessor, PreTrainedModel

from pipeline.errors import ModelError

_ARGUMENTS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]  # a plain record
# What torch raises over a file that is refused, cut off or changed on its way, wherever its reading then ends.
_BROKEN = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    struct.error, SafetensorError,
)  # fmt: skip


def read_weights(path: Path) -> dict[str, Any]:
    """Return what a file of weights holds, by name, on the CPU. Raises `ModelError` for a file that holds no weights.

    PiDiNet's published file carries its training's arguments too, a record of numbers and texts.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_ARGUMENTS):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        message = f"{path}: no file of weights ({type(error).__name__})"
        raise ModelError(message, "Fetch it anew: nothing but weights is loaded from it.") from error
    if not isinstance(state, dict):
        message = f"{path}: no file of weights (it holds a {type(state).__name__}, no names)"
        raise ModelError(message, "Name a file that holds weights by their names.")
    return state


# The first fusion of DPT adds nothing up: its files leave this layer out (github.com/huggingface/transformers #28292).
_NEVER_USED = ".fusion_stage.layers.0.residual_layer1."


# What transformers raises over a broken file, or over JSON that holds something else than it expects.
_BROKEN_MODEL = (
    OSError, ValueError, RuntimeError, AttributeError, TypeError, LookupError, StrictDataclassError, SafetensorError,
)  # fmt: skip


def load_pretrained(kind: Any, folder: Path, dtype: torch.dtype) -> tuple[Any, PreTrainedModel]:  # noqa: ANN401 - an Auto class of transformers, which share no type
    """Return the image processor and the network of a folder, the network in `dtype` whatever it is stored in.

    Raises `ModelError` for broken files, and for weights that leave parts out: transformers would make those up.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(folder)
        network, report = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
    except _BROKEN_MODEL as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"{folder}: no model that {kind.__name__} loads ({told})"
        raise ModelError(message, "Fetch it anew, or name a model that was made for this.") from error
    missing = sorted(name for name in report["missing_keys"] if _NEVER_USED not in name)
    if missing:
        message = f"{folder}: {len(missing)} of its weights are missing, {missing[0]} among them"
        raise ModelError(message, "Fetch it anew, or name a model that was trained for this.")
    return processor, network


def load_complete(kind: Any, folder: Path, dtype: torch.dtype, variant: str | None = None) -> Any:  # noqa: ANN401 - a model's class, which share no type
    """Return the model of a folder, on the host, in `dtype`. Raises `ModelError` where weights are missing."""
    model, report = kind.from_pretrained(
        folder, variant=variant, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    check_missing_weights(str(folder), report["missing_keys"])
    return model


def check_missing_weights(where: str, names: Any) -> None:  # noqa: ANN401 - any names
    """Raise `ModelError` if there are names of weights that a model has and its files have not."""
    missing = sorted(names)
    if missing:
        message = f"{where}: {len(missing)} of its weights are missing, {missing[0]} among them"
        raise ModelError(message, "Fetch it anew, or name models that belong together.")


def weights_on_meta(model: torch.nn.Module) -> list[str]:
    """Return the names of a model's weights that no file gave a value."""
    return [name for name, weight in model.named_parameters() if weight.is_meta]
