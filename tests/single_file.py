"""Convert a tiny Stable Diffusion 1.5 in the layout of diffusers to a checkpoint of one file."""

import re
from pathlib import Path

from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

LAYERS_PER_BLOCK = 1  # of the UNet that `tests.tiny` writes
VAE_BLOCKS = 4
# From names of diffusers to names in single-file checkpoints, the layout of the CompVis repository.
_RESNET_NAMES = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_UNET_NAMES = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_VAE_ATTENTION_NAMES = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def write_single_file(base: Path, path: Path) -> None:
    """Write the models of a diffusers folder to a single-file checkpoint."""
    pipe = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    state = {f"model.diffusion_model.{_rename_unet(name)}": tensor for name, tensor in pipe.unet.state_dict().items()}
    for name, tensor in pipe.vae.state_dict().items():
        original = _rename_vae(name)
        # The single-file layout has 1x1 convolutions instead of the linear layers of the attention.
        is_convolution = "mid.attn_1" in original and "norm" not in original and tensor.ndim == 2
        state[f"first_stage_model.{original}"] = tensor[:, :, None, None] if is_convolution else tensor
    for name, tensor in pipe.text_encoder.state_dict().items():
        state[f"cond_stage_model.transformer.text_model.{name}"] = tensor
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def _rename_unet(name: str) -> str:
    for diffusers_name, original in _UNET_NAMES.items():
        if name.startswith(f"{diffusers_name}."):
            return name.replace(diffusers_name, original, 1)
    part, _, rest = name.partition(".")
    if part == "mid_block":
        kind, number, rest = rest.split(".", 2)
        if kind == "attentions":
            return f"middle_block.1.{rest}"
        return f"middle_block.{2 * int(number)}.{_rename_resnet(rest)}"
    block, kind, layer, rest = rest.split(".", 3)
    first = int(block) * (LAYERS_PER_BLOCK + 1)  # number of the block's first layer in the single-file layout
    if kind == "downsamplers":
        return f"input_blocks.{first + LAYERS_PER_BLOCK + 1}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{first + LAYERS_PER_BLOCK}.2.{rest}"
    number = first + int(layer)
    prefix = f"input_blocks.{number + 1}" if part == "down_blocks" else f"output_blocks.{number}"
    return f"{prefix}.1.{rest}" if kind == "attentions" else f"{prefix}.0.{_rename_resnet(rest)}"


def _rename_resnet(rest: str) -> str:
    layer, _, kind = rest.rpartition(".")
    return f"{_RESNET_NAMES[layer]}.{kind}"


def _rename_vae(name: str) -> str:
    def reverse(block: str) -> int:
        """Return the number of an up block in the single-file layout, which counts from the end."""
        return VAE_BLOCKS - 1 - int(block)

    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda match: f"up.{reverse(match[1])}.block.{match[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda match: f"up.{reverse(match[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        for diffusers_name, original in _VAE_ATTENTION_NAMES.items():
            name = name.replace(f"attentions.0.{diffusers_name}", f"attentions.0.{original}")
    return name.replace("mid_block.attentions.0", "mid.attn_1")
