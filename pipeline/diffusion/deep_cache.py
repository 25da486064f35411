"""The UNet's inner blocks run at every nth step alone, their last answers stand in between: another picture, sooner.

DeepCache (Ma et al. 2023, arXiv 2312.00858) by its own library, which looks a step up in the scheduler's list: wrong
where a scheduler calls twice at one, and a wait for the device each time. Here the calls are counted.
"""

from typing import Any

from DeepCache import DeepCacheSDHelper


class DeepCache(DeepCacheSDHelper):  # type: ignore[misc]  # it has no types
    """Wraps the UNet that one or two pipelines share; `every` is how many calls lie from one whole UNet to the next."""

    def __init__(self, pipe: Any, every: int) -> None:  # noqa: ANN401 - diffusers' pipelines share no type
        super().__init__(pipe)
        self.set_params(cache_interval=every, cache_branch_id=0)
        self.enable()

    def begin(self) -> None:
        """Begin a batch: its first call runs the whole UNet."""
        self.cur_timestep, self.start_timestep = -1, 0
        self.cached_output.clear()

    def wrap_unet_forward(self) -> None:
        """Count the UNet's calls."""
        forward = self.function_dict["unet_forward"] = self.pipe.unet.forward

        def counted(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the UNet takes
            self.cur_timestep += 1
            return forward(*given, **named)

        self.pipe.unet.forward = counted
