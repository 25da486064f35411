"""The untrained networks of the demo model: small networks for the Stable Diffusion pipelines of diffusers.

The latents have 8 channels and a quarter of the image's width and height. A prompt becomes 77 embeddings of width 32.
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

CONTROLNETS = ("canny", "openpose", "depth")
LATENT_CHANNELS = 8
TEXT_WIDTH = 32
CHANNELS = (40, 80, 96)  # the base and three ControlNets of these widths take less than 16 MB in half precision
END_OF_WORD = "</w>"  # suffix of the last token of a word in the vocabulary of CLIP
# As in Stable Diffusion 1.5, but with v-prediction, and with more noise at the highest timesteps, which decide the mean
# colour of an image.
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Networks:
    """The networks that the second training stage (see `denoiser`) trains, and their tokenizer."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    controlnets: dict[str, ControlNetModel]
    tokenizer: CLIPTokenizer

    @property
    def trained(self) -> torch.nn.ModuleDict:
        """All networks as one module."""
        return torch.nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder, **self.controlnets})


def autoencoder() -> AutoencoderTiny:
    """Return the autoencoder, between images [N, 3, H, W] of -1..1 and latents [N, 8, H/4, W/4]."""
    widths = (32, 32, 32)
    return AutoencoderTiny(
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(0, 2, 3),  # no blocks at full size, where they cost most and gain least
        num_decoder_blocks=(3, 3, 1),
    )


def networks() -> Networks:
    """Return the UNet, its ControlNets, the text encoder and the tokenizer."""
    unet = UNet2DConditionModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=CHANNELS,
        # Attention at the lowest resolution only, where it is cheap.
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
    )
    tokenizer = _tokenizer()
    return Networks(unet, _text_encoder(len(tokenizer)), {name: _controlnet(unet) for name in CONTROLNETS}, tokenizer)


def save(folder: Path, vae: AutoencoderTiny, trained: Networks) -> None:
    """Write the model in half precision and in the layout of diffusers, to the folders `base` and `controlnet-…`."""
    base = StableDiffusionPipeline(
        vae=vae,
        text_encoder=trained.text_encoder,
        tokenizer=trained.tokenizer,
        unet=trained.unet,
        scheduler=DPMSolverMultistepScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    base.to(torch.float16).save_pretrained(folder / "base")
    for name, controlnet in trained.controlnets.items():
        controlnet.to(torch.float16).save_pretrained(folder / f"controlnet-{name}")


def _controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Copy the UNet's encoder into a ControlNet.

    The last layer of the control map's embedding is usually initialised to zero. Here it has random weights, because
    the UNet is not trained yet.
    """
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 64))
    controlnet.controlnet_cond_embedding.conv_out.reset_parameters()
    return controlnet


def _text_encoder(vocabulary_size: int) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=vocabulary_size,
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
    token_ids, merges = _vocabulary_and_merges()
    return CLIPTokenizer(vocab=token_ids, merges=merges, model_max_length=77)  # type: ignore[arg-type]  # merges are pairs


def _vocabulary_and_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the token ids and the merges of a byte-pair encoding in which every word of the vocabulary is one token.

    The tokens include CLIP's byte alphabet, so that any other word can be split into known tokens.
    """
    alphabet = list(bytes_to_unicode().values())
    tokenizer = Tokenizer(BPE(end_of_word_suffix=END_OF_WORD))
    tokenizer.pre_tokenizer = Whitespace()
    trainer = BpeTrainer(
        end_of_word_suffix=END_OF_WORD, initial_alphabet=alphabet, min_frequency=1, show_progress=False
    )
    tokenizer.train_from_iterator(vocabulary(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    letters = [*alphabet, *(f"{letter}{END_OF_WORD}" for letter in alphabet)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *sorted(model["vocab"], key=model["vocab"].__getitem__)]
    token_ids = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return token_ids, [(first, second) for first, second in model["merges"]]
