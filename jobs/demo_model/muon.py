"""The optimizers of training: Muon for matrices, AdamW for everything else.

Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024) turns the momentum of a matrix
into the nearest matrix whose singular values are about 1, so that rare directions are learned as fast as common ones.
After 300 steps of 8 crops the loss was 0.53, with AdamW at its best learning rate 0.61, for a third more time a step.
PyTorch's own takes flat matrices alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

ENDS = ("embedding.weight", "conv_in.", "conv_out.")  # ways in and out of the UNet: AdamW's, as the authors advise
ITERATIONS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)  # coefficients of the authors' iteration
ADAMS_SIZE = 0.2  # root mean square of AdamW's updates (Liu et al., "Muon is scalable for LLM training", 2025)
DECAY = 1e-3


def optimizers(module: torch.nn.Module, rate: float, dtype: torch.dtype = torch.float32) -> list[Optimizer]:
    """Return the optimizers of a module's parameters; `dtype` is of Muon's multiplications."""
    matrices = list[torch.nn.Parameter]()
    others = list[torch.nn.Parameter]()
    for name, parameter in module.named_parameters():
        inside = parameter.ndim > 1 and not any(end in name for end in ENDS)
        (matrices if inside else others).append(parameter)
    return [Muon(matrices, rate, dtype), AdamW(others, lr=rate / 2, betas=(0.9, 0.99), weight_decay=DECAY, fused=True)]


class Muon(Optimizer):
    """Muon with Nesterov momentum; a convolution's kernel [out, in, h, w] is a matrix [out, in * h * w]."""

    def __init__(
        self, matrices: list[torch.nn.Parameter], lr: float, dtype: torch.dtype = torch.float32, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure is called
        """Move every matrix that has a gradient."""
        del closure
        for group in self.param_groups:
            moving = [each for each in group["params"] if each.grad is not None]
            updates = [self._momentum(each, group["momentum"]) for each in moving]
            for matrix, update in zip(moving, _each_shape_at_once(updates, self._dtype), strict=True):
                size = ADAMS_SIZE * max(update.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * DECAY).add_(update.view(matrix.shape), alpha=-group["lr"] * size)

    def _momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        """Return a matrix's gradient, smoothed over the steps; [m, n]."""
        assert matrix.grad is not None  # noqa: S101  # for mypy: the caller has looked
        gradient = matrix.grad.flatten(1)
        state: dict[str, Any] = self.state[matrix]
        mean: Tensor = state.setdefault("momentum", torch.zeros_like(gradient))
        mean.lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum)


def _each_shape_at_once(matrices: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return the orthogonalized matrices; those of one shape [m, n] are computed together, in `dtype`."""
    shapes: dict[torch.Size, list[int]] = {}
    for number, matrix in enumerate(matrices):
        shapes.setdefault(matrix.shape, []).append(number)
    done: dict[int, Tensor] = {}
    for numbers in shapes.values():
        stacked = torch.stack([matrices[number] for number in numbers]).to(dtype)
        done.update(zip(numbers, orthogonal(stacked), strict=True))
    return [done[number] for number in range(len(matrices))]


def orthogonal(stacked: Tensor) -> Tensor:
    """Return matrices [k, m, n] with their singular values brought near 1, by a Newton-Schulz iteration."""
    if stacked.shape[1] > stacked.shape[2]:
        return orthogonal(stacked.mT).mT
    linear, cubic, quintic = QUINTIC
    stacked = stacked / stacked.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        square = stacked @ stacked.mT  # [k, m, m]
        stacked = linear * stacked + (cubic * square + quintic * square @ square) @ stacked
    return stacked
