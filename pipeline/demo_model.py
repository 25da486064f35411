"""A tiny Stable Diffusion with three ControlNets, built from a seed: random weights, the real classes, noise for art.

It exists so that the whole way runs on a CPU with nothing downloaded. Its sizes are the only thing it does not share
with a real checkpoint: pictures shrink by 8 into 4 latent channels, prompts become 77 embeddings.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.faults import ModelFault

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

REVISION = "untrained-1"  # a new one for every change of this file that changes weights
SEED = 2026
NETS = ("canny", "openpose", "depth")
CHANNELS = (32, 64)
TEXT_WIDTH = 32
SCHEDULER = {  # Stable Diffusion 1.5's own
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}
# Words that are one token each; anything else is spelled out letter by letter.
WORDS = (
    "anime", "style", "cel", "shading", "clean", "line", "art", "photo", "realistic", "vibrant", "colors", "detailed",
    "background", "masterpiece", "best", "quality", "worst", "night", "sunset", "snow", "sepia", "a", "of", "the", "in",
)  # fmt: skip


def built(cache: Path, name: str) -> Path:
    """Return the folder of `demo` or `demo/controlnet-…`, building all of them below `cache` when they are not there.

    Two processes may build at once: each builds its own, and the first rename wins. Raises `ModelFault`.
    """
    model, _, part = name.partition("/")
    if model != "demo" or part not in {"", *(f"controlnet-{net}" for net in NETS)}:
        known = ", ".join(f"builtin:demo/controlnet-{net}" for net in NETS)
        message = f"builtin:{name} is not a model that this program builds"
        raise ModelFault(message, f"It builds builtin:demo, {known}.")
    root = cache / f"demo-{REVISION}"
    if not root.is_dir():
        try:
            _build(root)
        except OSError as error:
            message = f"{cache}: the demo model cannot be written there ({error})"
            raise ModelFault(message, "Set PHOTO2ANIME_CACHE to a folder that can.") from error
    return root / (part or "base")


def _build(root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".building-") as folder:
        _save_all(Path(folder) / "model")
        try:
            Path(folder, "model").rename(root)
        except OSError:
            if not root.is_dir():  # another process built it meanwhile: theirs is the same
                raise


def _save_all(folder: Path) -> None:
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
    from transformers.utils import logging

    logging.disable_progress_bar()  # of files that take milliseconds

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        unet = _unet()
        autoencoder = AutoencoderKL(
            block_out_channels=(16, 16, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=8,
        )
        pipeline = StableDiffusionPipeline(
            vae=autoencoder,
            text_encoder=_text_encoder(),
            tokenizer=_tokenizer(),
            unet=unet,
            scheduler=DDIMScheduler(**SCHEDULER),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder / "base")
        for net in NETS:
            _controlnet(unet).save_pretrained(folder / f"controlnet-{net}")


def _unet() -> "UNet2DConditionModel":
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
    )


def _controlnet(unet: "UNet2DConditionModel") -> "ControlNetModel":
    """Copy the UNet's encoder; the closing convolutions, zero by design until trained, get weights to be heard."""
    import torch
    from diffusers import ControlNetModel

    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 16, 32))
    zeroed = [*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out]
    for layer in zeroed:
        torch.nn.init.normal_(layer.weight, std=0.2)
    return net


def _text_encoder() -> "CLIPTextModel":
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(_vocabulary()[0]),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config)


def _tokenizer() -> "CLIPTokenizer":
    from transformers import CLIPTokenizer

    vocabulary, merges = _vocabulary()
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)  # type: ignore[arg-type]  # pairs, as its converter takes them


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return CLIP's byte alphabet, inside and at the end of a word, and the merges that make one token of a word."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    alphabet = list(bytes_to_unicode().values())
    tokens = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        letters = [*word[:-1], f"{word[-1]}</w>"]
        joined = letters[0]
        for letter in letters[1:]:
            merges.append((joined, letter))
            joined += letter
            tokens.append(joined)
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}, list(dict.fromkeys(merges))
