"""DeepCache: run the inner blocks of the UNet at every nth step only, which is faster and changes the image.

The method is Ma et al. 2023, arXiv:2312.00858. The DeepCache package finds the current step by its timestep in the
schedule. This is wrong for schedulers that run the UNet twice at one timestep, and it synchronizes with the device at
every step. `DeepCache` counts the calls of the UNet instead.
"""

from DeepCache import DeepCacheSDHelper

from pipeline.diffusion.types import DiffusionPipeline


class DeepCache(DeepCacheSDHelper):  # type: ignore[misc]  # the package has no type hints
    """A cache of the UNet's inner features, for a UNet that one or two pipelines use.

    Args:
        pipe: A pipeline with the UNet.
        interval: The number of UNet calls from one complete run of the UNet to the next.
    """

    def __init__(self, pipe: DiffusionPipeline, interval: int) -> None:
        super().__init__(pipe)
        self.set_params(cache_interval=interval, cache_branch_id=0)
        self.enable()

    def start_batch(self) -> None:
        """Clear the cache, so that the first call of a batch runs the complete UNet."""
        self.cur_timestep, self.start_timestep = -1, 0
        self.cached_output.clear()

    def wrap_unet_forward(self) -> None:
        """Replace the UNet's forward method by one that counts its calls."""
        forward = self.function_dict["unet_forward"] = self.pipe.unet.forward

        def counting_forward(*args: object, **kwargs: object) -> object:
            self.cur_timestep += 1
            return forward(*args, **kwargs)

        self.pipe.unet.forward = counting_forward
