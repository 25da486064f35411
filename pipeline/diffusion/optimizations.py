"""Optimizations of the diffusion pipeline. Each can be disabled to measure its effect."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Optimizations:
    """The optimizations of a pipeline. They change an image by rounding errors at most.

    Attributes:
        leave_out_nets: Skip a ControlNet if its scale is 0 or the step is outside of its window.
        embed_maps_once: Embed each control map once for all steps.
        encode_together: Encode the photos of a batch in one call of the autoencoder.
        keep_prompts: Cache the embeddings of recent prompts.
        travel_as_bytes: Copy images between host and device as uint8, through pinned memory.
        channels_last: Store the weights in channels-last order, which is faster for convolutions on tensor cores.
        fuse_projections: Compute queries, keys and values in one matrix product.
        compiled: Compile the UNet, the ControlNets and the decoder. The default depends on the recipe and the device.
    """

    leave_out_nets: bool = True
    embed_maps_once: bool = True
    encode_together: bool = True
    keep_prompts: bool = True
    travel_as_bytes: bool = True
    channels_last: bool = True
    fuse_projections: bool = True
    compiled: bool = False


NO_OPTIMIZATIONS = Optimizations(
    leave_out_nets=False, embed_maps_once=False, encode_together=False, keep_prompts=False, travel_as_bytes=False,
    channels_last=False, fuse_projections=False,
)  # fmt: skip
