"""Networks and image processors as transformers stores them, refused where they are broken or not whole."""

from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoImageProcessor, PreTrainedModel

from pipeline.faults import ModelFault

# The first fusion of DPT adds nothing up: its files leave this layer out (github.com/huggingface/transformers #28292).
_NEVER_USED = ".fusion_stage.layers.0.residual_layer1."
# What transformers raises over a broken file, or over JSON that holds something else than it expects.
_BROKEN = (
    OSError, ValueError, RuntimeError, AttributeError, TypeError, LookupError, StrictDataclassError, SafetensorError,
)  # fmt: skip


def load_pretrained(kind: Any, folder: Path, dtype: torch.dtype) -> tuple[Any, PreTrainedModel]:  # noqa: ANN401 - an Auto class of transformers, which share no type
    """Return the image processor and the network of a folder, the network in `dtype` whatever it is stored in.

    Raises `ModelFault` for broken files, and for weights that leave parts out: transformers would make those up.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(folder)
        network, report = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
    except _BROKEN as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"{folder}: no model that {kind.__name__} loads ({told})"
        raise ModelFault(message, "Fetch it anew, or name a model that was made for this.") from error
    missing = sorted(name for name in report["missing_keys"] if _NEVER_USED not in name)
    if missing:
        message = f"{folder}: {len(missing)} of its weights are missing, {missing[0]} among them"
        raise ModelFault(message, "Fetch it anew, or name a model that was trained for this.")
    return processor, network
