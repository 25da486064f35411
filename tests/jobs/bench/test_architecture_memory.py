"""Tests that a batch of the real architectures fits in the memory of small GPUs, on the meta device."""

import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from jobs.bench.synthetic_diffusion import ARCHITECTURES, components, control_net
from pipeline.diffusion import memory
from pipeline.diffusion.multi_controlnet import MultiControlNet

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


class TensorMemory(TorchDispatchMode):
    """Measures the bytes of the tensors that exist at the same time. Works on the meta device.

    Attributes:
        peak: The most bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._current = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self._storages:
                self._storages.add(storage._cdata)
                self._current += storage.nbytes()
                self.peak = max(self.peak, self._current)
                weakref.finalize(storage, self._release, storage._cdata, storage.nbytes())
        return results

    def _release(self, storage: int, size: int) -> None:
        self._storages.discard(storage)
        self._current -= size


def weight_bytes(*modules: torch.nn.Module) -> int:
    return sum(weight.nbytes for module in modules for weight in module.parameters())


@pytest.mark.parametrize(("name", "gpu_memory"), [("sd15", 6e9), ("sdxl", 12e9)])
def test_two_images_under_three_controlnets_fit_on_a_small_gpu(name: str, gpu_memory: float) -> None:
    architecture = ARCHITECTURES[name]
    rows, options = 2 * 2, {"device": "meta", "dtype": torch.float16}  # two images, with guidance
    with torch.device("meta"):
        models = components(architecture, torch.float16)
        unet, controlnet = models["unet"], MultiControlNet([control_net(models["unet"]) for _ in range(3)])
    side, width = architecture.unet["sample_size"], architecture.unet["cross_attention_dim"]
    inputs = {
        "sample": torch.zeros(rows, 4, side, side, **options), "timestep": torch.tensor(1, device="meta"),
        "encoder_hidden_states": torch.zeros(rows, 77, width, **options), "return_dict": False,
    }  # fmt: skip
    if name == "sdxl":
        pooled, sizes = torch.zeros(rows, 1280, **options), torch.zeros(rows, 6, **options)
        inputs["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
    maps = [torch.zeros(rows, 3, 8 * side, 8 * side, **options) for _ in range(3)]  # [N, 3, H, W], float16
    tensors = TensorMemory()
    with torch.inference_mode(), tensors:
        down, middle = controlnet(controlnet_cond=maps, conditioning_scale=[1.0] * 3, **inputs)
        unet(down_block_additional_residuals=down, mid_block_additional_residual=middle, **inputs)
    all_controlnets, one_controlnet = weight_bytes(controlnet), weight_bytes(controlnet.nets[0], controlnet.embeddings)
    controlnet_bytes = all_controlnets if all_controlnets <= memory.CONTROLNET_MEMORY else one_controlnet
    total = weight_bytes(unet, models["vae"]) + controlnet_bytes + tensors.peak
    assert tensors.peak > 0.3e9  # the mode sees the tensors of the step
    assert total < 0.8 * gpu_memory  # the system and the workspaces of kernels need the rest
