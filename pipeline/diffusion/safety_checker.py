"""The safety checker of Stable Diffusion. It flags images and does not change them."""

from pathlib import Path

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

from pipeline.models.safe_load import load_complete

# The mean and the standard deviation by which CLIP's pixels are normalized, for each channel (from
# preprocessor_config.json of openai/clip-vit-large-patch14).
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class SafetyChecker:
    """The safety checker, loaded on a device. It takes 1.2 GB of memory.

    It runs in float32. In half precision, rounding errors, which differ between batches, could change the result.

    Args:
        folder: The folder of the checker's weights.
        device: The device to run on.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        checker = load_complete(StableDiffusionSafetyChecker, folder, torch.float32)
        self._checker = checker.eval().to(device)
        self._side = checker.config.vision_config.image_size
        self._mean, self._deviation = (
            torch.tensor(channels, device=device).view(1, 3, 1, 1) for channels in (MEAN, DEVIATION)
        )

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Flag unsafe images.

        Args:
            images: [N, 3, H, W], 0..1, on any device.

        Returns:
            [N], bool, on the device of the checker. True for an unsafe image.
        """
        images = images.to(self._mean.device)
        height, width = images.shape[2:]
        scale = self._side / min(height, width)
        size = [max(self._side, round(length * scale)) for length in (height, width)]
        scaled = torch.nn.functional.interpolate(images.float(), size=size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((length - self._side) // 2 for length in size)
        crops = scaled[:, :, top : top + self._side, left : left + self._side]  # [N, 3, side, side], float32, 0..1
        # forward_onnx sets flagged rows of its second argument to 0. Pass placeholders, so that no image is changed.
        placeholders = torch.zeros(len(images), 1, device=images.device)  # [N, 1], float32
        flags: torch.Tensor = self._checker.forward_onnx((crops - self._mean) / self._deviation, placeholders)[1]
        return flags
