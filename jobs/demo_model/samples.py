"""Write sample sheets during training. The images come from the text-to-image ControlNet pipeline of diffusers."""

from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderTiny,
    DPMSolverMultistepScheduler,
    MultiControlNetModel,
    StableDiffusionControlNetPipeline,
)
from numpy.typing import NDArray

from jobs.demo_model.architecture import CONTROLNETS, SCHEDULER, Networks
from jobs.demo_model.autoencoder import save_sheet
from jobs.demo_model.dataset import Batch

STEPS = 8
GUIDANCE = 3.0
PROMPT = "anime style, cel shading, clean line art"


def save_samples(path: Path, vae: AutoencoderTiny, networks: Networks, batch: Batch) -> None:
    """Write a sheet of photos, targets, control maps and images.

    Each row of control maps is followed by a row of images that were generated with these maps alone. The images of
    the last row were generated with all three control maps.
    """
    rows = [batch.photos, batch.targets]
    for name in CONTROLNETS:
        rows += [batch.maps[name], _generate(vae, networks, batch, [name])]
    save_sheet(path, [*rows, _generate(vae, networks, batch, list(CONTROLNETS))])


def _generate(vae: AutoencoderTiny, networks: Networks, batch: Batch, active: list[str]) -> NDArray[np.uint8]:
    """Generate images [N, H, W, 3] from noise with some of the ControlNets."""
    pipeline = StableDiffusionControlNetPipeline(
        vae=vae,
        text_encoder=networks.text_encoder,
        tokenizer=networks.tokenizer,
        unet=networks.unet,
        controlnet=MultiControlNetModel([networks.controlnets[name] for name in active]),
        scheduler=DPMSolverMultistepScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    maps = [torch.from_numpy(batch.maps[name]).permute(0, 3, 1, 2) / 255 for name in active]
    generated = pipeline(
        prompt=[PROMPT] * len(batch.photos),
        image=maps,
        controlnet_conditioning_scale=[1.0] * len(active),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=[torch.Generator("cpu").manual_seed(number) for number in range(len(batch.photos))],
        output_type="np",
    ).images  # [N, H, W, 3], 0..1
    images: NDArray[np.uint8] = np.rint(generated * 255).astype(np.uint8)
    return images
