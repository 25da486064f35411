"""Sample sheets: what the networks draw so far, by the pipeline that will use them."""

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

from jobs.demo_model.architecture import NETS, SCHEDULER, Networks
from jobs.demo_model.autoencoder import save_sheet
from jobs.demo_model.dataset import Batch

STEPS = 8
GUIDANCE = 3.0
PROMPT = "anime style, cel shading, clean line art"


def save_samples(path: Path, coder: AutoencoderTiny, networks: Networks, batch: Batch) -> None:
    """Write a sheet: photos, what was to be drawn, then each map and the drawing of it alone, and of all three."""
    rows = [batch.photos, batch.targets]
    for running in ([name] for name in NETS):
        rows += [batch.maps[running[0]], _drawn(coder, networks, batch, running)]
    save_sheet(path, [*rows, _drawn(coder, networks, batch, list(NETS))])


def _drawn(coder: AutoencoderTiny, networks: Networks, batch: Batch, running: list[str]) -> NDArray[np.uint8]:
    """Return pictures from noise under some of the maps."""
    pipeline = StableDiffusionControlNetPipeline(
        vae=coder,
        text_encoder=networks.text_encoder,
        tokenizer=networks.tokenizer,
        unet=networks.unet,
        controlnet=MultiControlNetModel([networks.nets[name] for name in running]),
        scheduler=DPMSolverMultistepScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    maps = [torch.from_numpy(batch.maps[name]).permute(0, 3, 1, 2) / 255 for name in running]
    drawn = pipeline(
        prompt=[PROMPT] * len(batch.photos),
        image=maps,
        controlnet_conditioning_scale=[1.0] * len(running),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=[torch.Generator("cpu").manual_seed(number) for number in range(len(batch.photos))],
        output_type="np",
    ).images  # [N, H, W, 3], 0..1
    pictures: NDArray[np.uint8] = np.rint(drawn * 255).astype(np.uint8)
    return pictures
