"""A tiny Stable Diffusion in one file, named as the original checkpoints name their tensors."""

import re
from pathlib import Path

from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

PER_BLOCK = 1  # layers, as `tests.tiny` has them
BLOCKS = 4  # of the autoencoder
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def write_single_file(base: Path, path: Path) -> None:
    """Write the checkpoint in a folder as one file."""
    pipe = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    state = {f"model.diffusion_model.{_of_unet(name)}": each for name, each in pipe.unet.state_dict().items()}
    for name, tensor in pipe.vae.state_dict().items():
        named = _of_vae(name)
        convolution = "mid.attn_1" in named and "norm" not in named and tensor.ndim == 2
        state[f"first_stage_model.{named}"] = tensor[:, :, None, None] if convolution else tensor
    for name, tensor in pipe.text_encoder.state_dict().items():
        state[f"cond_stage_model.transformer.text_model.{name}"] = tensor
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def _of_unet(name: str) -> str:
    for ours, theirs in _UNET.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    part, _, rest = name.partition(".")
    if part == "mid_block":
        kind, number, rest = rest.split(".", 2)
        place = f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}"
        return f"{place}.{rest if kind == 'attentions' else _of_resnet(rest)}"
    block, kind, layer, rest = rest.split(".", 3)
    of_block = int(block) * (PER_BLOCK + 1)
    if kind == "downsamplers":
        return f"input_blocks.{of_block + PER_BLOCK + 1}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{of_block + PER_BLOCK}.2.{rest}"
    place = (
        f"input_blocks.{1 + of_block + int(layer)}"
        if part == "down_blocks"
        else f"output_blocks.{of_block + int(layer)}"
    )
    return f"{place}.1.{rest}" if kind == "attentions" else f"{place}.0.{_of_resnet(rest)}"


def _of_resnet(rest: str) -> str:
    layer, _, kind = rest.rpartition(".")
    return f"{_RESNET[layer]}.{kind}"


def _of_vae(name: str) -> str:
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda it: f"up.{BLOCKS - 1 - int(it[1])}.block.{it[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda it: f"up.{BLOCKS - 1 - int(it[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda it: f"mid.block_{int(it[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        for ours, theirs in _VAE_ATTENTION.items():
            name = name.replace(f"attentions.0.{ours}", f"attentions.0.{theirs}")
    return name.replace("mid_block.attentions.0", "mid.attn_1")
