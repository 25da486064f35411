"""Load files of weights without executing code: safetensors files, and pickles of tensors and plain values."""

import argparse
import pickle
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoImageProcessor, PreTrainedModel

from pipeline.errors import MissingWeightsError, ModelError

# Types that a pickle may contain besides tensors. The published file of PiDiNet also contains its training arguments.
_ALLOWED_TYPES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]
# The exceptions of torch and safetensors for an unsafe, truncated or corrupt file.
_FILE_ERRORS = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    struct.error, SafetensorError,
)  # fmt: skip
# The exceptions of transformers for a corrupt file, or for JSON of an unexpected structure.
_MODEL_ERRORS = (
    OSError, ValueError, RuntimeError, AttributeError, TypeError, LookupError, StrictDataclassError, SafetensorError,
)  # fmt: skip
# The files of DPT omit this layer, whose output is not used (https://github.com/huggingface/transformers/issues/28292).
_UNUSED_LAYER = ".fusion_stage.layers.0.residual_layer1."


def read_weights(path: Path) -> dict[str, Any]:
    """Return the dictionary in a weights file, with all tensors on the CPU.

    Raises:
        ModelError: The file is corrupt, contains an object of a type that is not allowed, or is not a dictionary.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_ALLOWED_TYPES):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _FILE_ERRORS as error:
        raise ModelError(f"{path}: invalid weights file ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise ModelError(f"{path}: invalid weights file (it contains a {type(state).__name__}, not a dictionary)")
    return state


def load_pretrained(kind: Any, folder: Path, dtype: torch.dtype) -> tuple[Any, PreTrainedModel]:  # noqa: ANN401 - the Auto classes of transformers have no common type
    """Load the image processor and the network of a folder.

    Args:
        kind: An Auto class of transformers, such as `AutoModelForDepthEstimation`.
        folder: The folder of the model.
        dtype: The type of the loaded weights, independent of the type in the files.

    Raises:
        ModelError: The class does not support the model, or a file is corrupt.
        MissingWeightsError: The files lack some of the weights, which transformers would initialize randomly.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(folder)
        network, report = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
    except _MODEL_ERRORS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{folder}: {kind.__name__} cannot load this model ({reason})") from error
    check_missing_weights(str(folder), [name for name in report["missing_keys"] if _UNUSED_LAYER not in name])
    return processor, network


def load_complete(kind: Any, folder: Path, dtype: torch.dtype, variant: str | None = None) -> Any:  # noqa: ANN401 - classes of diffusers and transformers have no common type
    """Load the model of a folder to the CPU, with all of its weights in `dtype`.

    Raises:
        MissingWeightsError: The files lack some of the weights.
    """
    model, report = kind.from_pretrained(
        folder, variant=variant, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    check_missing_weights(str(folder), report["missing_keys"])
    return model


def check_missing_weights(model: str, names: Iterable[str]) -> None:
    """Raise `MissingWeightsError` if `names`, the missing weights of a model, is not empty."""
    missing = sorted(names)
    if missing:
        raise MissingWeightsError(f"{model}: the files lack {len(missing)} of the weights, including {missing[0]}")


def weights_on_meta(model: torch.nn.Module) -> list[str]:
    """Return the names of the weights that were not loaded from a file: those on the meta device."""
    return [name for name, weight in model.named_parameters() if weight.is_meta]
