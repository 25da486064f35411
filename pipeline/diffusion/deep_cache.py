"""The UNet's inner blocks run at every nth step alone, their last answers stand in between: another picture, sooner.

DeepCache (Ma et al. 2023, arXiv 2312.00858) by its own library, whose state of one batch is kept from the next here.
"""

from typing import Any

from DeepCache import DeepCacheSDHelper


class DeepCache:
    """Wraps the UNet that one or two pipelines share; `every` is how many steps lie from one whole UNet to the next."""

    def __init__(self, pipe: Any, every: int) -> None:  # noqa: ANN401 - diffusers' pipelines share no type
        self._helper = DeepCacheSDHelper(pipe)
        self._helper.set_params(cache_interval=every, cache_branch_id=0)
        self._helper.enable()

    def begin(self, pipe: Any) -> None:  # noqa: ANN401 - as above
        """Begin a batch of a pipeline: its first step, whichever that is, runs the whole UNet."""
        self._helper.pipe = pipe  # whose scheduler tells the steps
        self._helper.start_timestep = None
        self._helper.cached_output.clear()
