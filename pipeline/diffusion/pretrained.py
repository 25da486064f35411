"""Models as diffusers and transformers store them, refused where they are not whole: the rest would be made up."""

from pathlib import Path
from typing import Any

import torch

from pipeline.faults import ModelFault


def load_whole(kind: Any, folder: Path, dtype: torch.dtype, variant: str | None = None) -> Any:  # noqa: ANN401 - a model's class, which share no type
    """Return the model of a folder, on the host, in `dtype`. Raises `ModelFault` where weights are missing."""
    model, report = kind.from_pretrained(
        folder, variant=variant, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    refuse_missing(str(folder), report["missing_keys"])
    return model


def refuse_missing(where: str, names: Any) -> None:  # noqa: ANN401 - any names
    """Raise `ModelFault` if there are names of weights that a model has and its files have not."""
    missing = sorted(names)
    if missing:
        message = f"{where}: {len(missing)} of its weights are missing, {missing[0]} among them"
        raise ModelFault(message, "Fetch it anew, or name models that belong together.")


def without_values(model: torch.nn.Module) -> list[str]:
    """Return the names of a model's weights that no file gave a value."""
    return [name for name, weight in model.named_parameters() if weight.is_meta]
