"""DeepCache: run the inner blocks of the UNet in every nth call only, which is faster and changes the image.

The method is from Ma et al. 2023, arXiv:2312.00858. The DeepCache package looks up each timestep in the schedule to get
the number of the step. The number is wrong for schedulers that call the UNet twice at one timestep, and the lookup
synchronizes with the device at every step. The class `DeepCache` counts the calls of the UNet instead.
"""

from DeepCache import DeepCacheSDHelper

from pipeline.diffusion.types import DiffusionPipeline


class DeepCache(DeepCacheSDHelper):  # type: ignore[misc]  # the package has no type hints
    """A cache of the inner features of a UNet. Several pipelines may share the UNet.

    Args:
        pipe: A pipeline with the UNet.
        interval: Every `interval`th call runs the complete UNet. The other calls reuse cached features.
    """

    def __init__(self, pipe: DiffusionPipeline, interval: int) -> None:
        super().__init__(pipe)
        self.set_params(cache_interval=interval, cache_branch_id=0)
        self.enable()

    def start_batch(self) -> None:
        """Reset the call counter and clear the cache, so that the first call of a batch runs the complete UNet."""
        # The package runs the complete UNet when cur_timestep - start_timestep is a multiple of the interval.
        self.cur_timestep, self.start_timestep = -1, 0
        self.cached_output.clear()

    def wrap_unet_forward(self) -> None:
        """Replace the forward method of the UNet with one that counts its calls. Overrides a method of the package."""
        forward = self.function_dict["unet_forward"] = self.pipe.unet.forward

        def counting_forward(*args: object, **kwargs: object) -> object:
            self.cur_timestep += 1
            return forward(*args, **kwargs)

        self.pipe.unet.forward = counting_forward
