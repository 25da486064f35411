"""Stable Diffusion's safety checker on tensors: it says what it found, and blackens nothing."""

from pathlib import Path

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

from pipeline.models.safe_load import load_complete

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, of its pixels


class SafetyChecker:
    """Holds the checker on a device, in float32: its answer must not depend on a batch's last bits. It takes 1.2 GB."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        loaded = load_complete(StableDiffusionSafetyChecker, folder, torch.float32)
        self._checker = loaded.eval().to(device)
        self._side = loaded.config.vision_config.image_size
        self._mean, self._deviation = (
            torch.tensor(numbers, device=device).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION)
        )

    @torch.inference_mode()
    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return for pictures [N, 3, H, W], 0..1, whether each shows what the checker looks for: [N], bool.

        Pictures may be on any device; the answer is on the checker's.
        """
        pictures = pictures.to(self._mean.device)
        height, width = pictures.shape[2:]
        scale = self._side / min(height, width)
        size = [max(self._side, round(side * scale)) for side in (height, width)]
        seen = torch.nn.functional.interpolate(pictures.float(), size=size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - self._side) // 2 for side in size)
        seen = seen[:, :, top : top + self._side, left : left + self._side]  # [N, 3, side, side]: the middle
        nothing = torch.zeros(len(pictures), 1, device=pictures.device)  # that may be blackened
        found: torch.Tensor = self._checker.forward_onnx((seen - self._mean) / self._deviation, nothing)[1]
        return found
