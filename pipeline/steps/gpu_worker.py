"""What one process with a GPU does of a run: the control maps of detectors that gain from it, then the pictures.

Without a GPU the detectors run elsewhere, and the pictures alone are left.
"""

import pyarrow as pa

from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.convert import Converter
from schemas.recipe import Recipe


class GpuWorker:
    """Holds the networks of a recipe and maps batches of `schemas.work.MAPPED` to `CONVERTED`.

    `on_gpu` names the detectors whose maps are still null: they are drawn here, with a cache if there is a folder of
    one. `compile_cache` is the folder of compiled models. A recipe of mode maps ends with them, as `MAPPED`.
    Raises `ModelError` for weights that do not fit.
    """

    def __init__(
        self,
        recipe: Recipe,
        on_gpu: frozenset[str] = frozenset(),
        cache: str | None = None,
        compile_cache: str | None = None,
    ) -> None:
        self._maps = ControlMaps(recipe, device=available_device(), cache=cache) if on_gpu else None
        self._converter = Converter(recipe, compile_cache) if recipe.mode != "maps" else None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a batch with its maps, where they were missing, and its pictures."""
        if self._maps:
            batch = self._maps(batch)
        return self._converter(batch) if self._converter else batch


def available_device() -> str:
    """Return `cuda` where this process has a GPU, else `cpu`."""
    import torch  # here, not above: it takes seconds, and only this process needs it

    return "cuda" if torch.cuda.is_available() else "cpu"
