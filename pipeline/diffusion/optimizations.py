"""What makes conversion faster and leaves the picture as it is; each can be switched off, to measure what it brings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Optimizations:
    """All of them, as runs have them; `compiled` follows from the recipe and the machine."""

    leave_out_nets: bool = True  # nets of scale 0 or outside of their window are not run
    embed_maps_once: bool = True  # not at every step
    encode_together: bool = True  # photos of a batch in one call of the autoencoder
    keep_prompts: bool = True  # embeddings of the last prompts
    travel_as_bytes: bool = True  # uint8 to the device and back, from and to pinned memory
    channels_last: bool = True  # as convolutions on tensor cores want it
    fuse_projections: bool = True  # one matrix product for queries, keys and values
    compiled: bool = False  # the UNet, the nets and the decoder


NO_OPTIMIZATIONS = Optimizations(
    leave_out_nets=False, embed_maps_once=False, encode_together=False, keep_prompts=False, travel_as_bytes=False,
    channels_last=False, fuse_projections=False,
)  # fmt: skip
