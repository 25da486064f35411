"""The demo model's networks, untrained: Stable Diffusion's own classes, as small as a laptop's CPU wants them.

Pictures shrink by 4 into 8 latent channels; a prompt becomes 77 embeddings of width 32.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderTiny,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from jobs.demo_model.vocabulary import vocabulary

NETS = ("canny", "openpose", "depth")
LATENT_CHANNELS = 8
SHRINK = 4
TEXT_WIDTH = 32
CHANNELS = (40, 80, 96)  # three nets of this width and their base stay below 16 MB in half precision
END = "</w>"  # behind the last letter of a word, in CLIP's vocabulary
SCHEDULER = {  # Stable Diffusion's schedule, but noisier at its end, so that a picture's mean colour is free there
    "beta_start": 0.00085,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Networks:
    """What the second stage trains, and the tokenizer that it needs."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    nets: dict[str, ControlNetModel]
    tokenizer: CLIPTokenizer

    @property
    def trained(self) -> torch.nn.ModuleDict:
        """All the networks as one module."""
        return torch.nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder, **self.nets})


def autoencoder() -> AutoencoderTiny:
    """Return the autoencoder: [N, 3, H, W], -1..1, to and from [N, 8, H/4, W/4]."""
    widths = (32, 32, 32)
    return AutoencoderTiny(
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(0, 2, 3),  # none at full size, where they cost most and gain least
        num_decoder_blocks=(3, 3, 1),
    )


def networks() -> Networks:
    """Return the UNet, its nets and the text encoder."""
    unet = UNet2DConditionModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),  # attention where pictures are small
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
    )
    tokenizer = _tokenizer()
    return Networks(unet, _text_encoder(len(tokenizer)), {name: _controlnet(unet) for name in NETS}, tokenizer)


def save(folder: Path, coder: AutoencoderTiny, trained: Networks) -> None:
    """Write the model in half precision as `folder/base` and `folder/controlnet-…`, as real checkpoints lie."""
    base = StableDiffusionPipeline(
        vae=coder,
        text_encoder=trained.text_encoder,
        tokenizer=trained.tokenizer,
        unet=trained.unet,
        scheduler=DPMSolverMultistepScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    base.to(torch.float16).save_pretrained(folder / "base")
    for name, net in trained.nets.items():
        net.to(torch.float16).save_pretrained(folder / f"controlnet-{name}")


def _controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Copy the UNet's encoder; the map's way in is not zero at first: there is no trained UNet to protect."""
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 64))
    net.controlnet_cond_embedding.conv_out.reset_parameters()
    return net


def _text_encoder(entries: int) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=entries,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config)


def _tokenizer() -> CLIPTokenizer:
    entries, merges = _entries()
    return CLIPTokenizer(vocab=entries, merges=merges, model_max_length=77)  # type: ignore[arg-type]  # pairs, as its converter takes them


def _entries() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return CLIP's byte alphabet, inside and at the end of a word, and merges that make one token of every word."""
    alphabet = list(bytes_to_unicode().values())
    tokenizer = Tokenizer(BPE(end_of_word_suffix=END))
    tokenizer.pre_tokenizer = Whitespace()
    trainer = BpeTrainer(end_of_word_suffix=END, initial_alphabet=alphabet, min_frequency=1, show_progress=False)
    tokenizer.train_from_iterator(vocabulary(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    letters = [*alphabet, *(f"{letter}{END}" for letter in alphabet)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *sorted(model["vocab"], key=model["vocab"].__getitem__)]
    entries = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return entries, [(first, second) for first, second in model["merges"]]
