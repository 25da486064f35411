"""Optimizations of the diffusion pipeline. Benchmarks disable them one by one to measure their effect."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Optimizations:
    """The enabled optimizations of a pipeline. They change the pixels of an image by rounding errors at most.

    Attributes:
        skip_inactive: Skip a ControlNet at the steps outside its interval `start` to `end`, or at scale 0.
        embed_maps_once: Compute the embedding of each control map once for all steps.
        encode_batches: Encode all photos of a batch in one call of the VAE.
        cache_prompts: Cache the embeddings of recent prompts.
        transfer_uint8: Copy photos and control maps to the device as uint8.
        channels_last: Store the weights in channels-last order, which is faster for convolutions on tensor cores.
        fuse_projections: Compute keys and values, and in self-attention also queries, in one matrix product.
        compiled: Compile the UNet, the ControlNets and the VAE decoder. Without an
            `Optimizations` argument, `ImageGenerator` enables it if the recipe and the device support it.
    """

    skip_inactive: bool = True
    embed_maps_once: bool = True
    encode_batches: bool = True
    cache_prompts: bool = True
    transfer_uint8: bool = True
    channels_last: bool = True
    fuse_projections: bool = True
    compiled: bool = False


NO_OPTIMIZATIONS = Optimizations(
    skip_inactive=False, embed_maps_once=False, encode_batches=False, cache_prompts=False, transfer_uint8=False,
    channels_last=False, fuse_projections=False,
)  # fmt: skip
