"""The work of one GPU process: the control maps of detectors that gain from a GPU, then the images.

In a run without a GPU, this process runs on the CPU and only generates images, and all detectors run in other
processes.
"""

import sys
from collections.abc import Sequence

from pipeline.images.opening import DEFAULT_MAX_PIXELS
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.convert import Converter
from pipeline.steps.row_step import TableStep
from schemas.recipe import Recipe
from schemas.work import Converted, Failed, Mapped


class GpuWorker(TableStep[Mapped, Mapped | Converted]):
    """Holds the networks of a recipe. In mode maps it returns `Mapped` rows, else `Converted` rows.

    Args:
        recipe: The recipe.
        gpu_detectors: Detectors that run in this worker. If there are none, the rows have all maps already.
        cache: Address of a folder of control maps.
        compile_cache: Address of a folder of compiled models.
        keep_maps: Whether a later step needs the pixels of the control maps.
        max_pixels: The largest number of pixels of a reference image.

    Raises:
        ModelError: Weights are missing or invalid, or do not fit together.
    """

    def __init__(
        self,
        recipe: Recipe,
        gpu_detectors: frozenset[str] = frozenset(),
        cache: str | None = None,
        compile_cache: str | None = None,
        *,
        keep_maps: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        super().__init__(Mapped, Converted if recipe.mode != "maps" else Mapped)
        self._maps = ControlMaps(recipe, cache=cache, device=available_device()) if gpu_detectors else None
        self._converter: Converter | None = None
        if recipe.mode != "maps":
            self._converter = Converter(recipe, compile_cache, keep_maps=keep_maps, max_pixels=max_pixels)

    def run(self, rows: Sequence[Mapped | Failed]) -> list[Mapped | Converted | Failed]:
        """Detect the maps that rows still lack, then generate the images unless the mode is maps."""
        mapped = self._maps.complete(rows) if self._maps else rows
        return [*(self._converter.run(mapped) if self._converter else mapped)]


def device_is_usable() -> bool:
    """Return whether this process can still use its GPU, or uses none. Some errors of CUDA make it unusable."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
    except RuntimeError:  # which CUDA raises again and again
        return False
    return True


def available_device() -> str:
    """Return `cuda` if this process has a GPU, else `cpu`."""
    import torch  # imported here because it takes seconds

    return "cuda" if torch.cuda.is_available() else "cpu"
