"""Muon: matrices are orthogonalized, everything else is AdamW's, and a fit is found."""

import pytest
import torch

from jobs.demo_model.muon import Muon, optimizers, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 16, 16)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int, int]) -> None:
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    inside = left.mT @ orthogonal(given) @ right.mT  # [k, r, r], diagonal if directions stay
    values = inside.diagonal(dim1=1, dim2=2)
    assert 0.5 < values.min() < values.max() < 1.3  # the range of the authors' coefficients
    assert (inside - torch.diag_embed(values)).abs().max() < 1e-3


def test_hidden_matrices_are_muons_and_the_rest_is_adamws() -> None:
    module = torch.nn.ModuleDict(
        {
            "conv_in": torch.nn.Conv2d(3, 8, 3),
            "middle": torch.nn.Conv2d(8, 8, 3),
            "norm": torch.nn.GroupNorm(2, 8),
            "token_embedding": torch.nn.Embedding(5, 8),
        }
    )
    muon, adam = optimizers(module, 1e-2)
    assert [each is module["middle"].weight for each in muon.param_groups[0]["params"]] == [True]
    assert len(adam.param_groups[0]["params"]) == 6
    assert isinstance(muon, Muon)


def test_a_step_has_the_size_of_adamws_whatever_the_gradient() -> None:
    kernel = torch.nn.Parameter(torch.randn(16, 8, 3, 3).to(memory_format=torch.channels_last))
    idle = torch.nn.Parameter(torch.ones(4, 4))
    before = kernel.detach().clone()
    kernel.grad = 1e-6 * torch.randn(16, 8, 3, 3)
    Muon([kernel, idle], lr=1.0).step()
    moved = kernel.detach() - before * (1 - 1e-3)
    assert moved.square().mean().sqrt() == pytest.approx(0.2, rel=0.3)
    assert (idle == 1).all()  # no gradient, no step


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_fits_a_matrix(dtype: torch.dtype) -> None:
    chance = torch.Generator().manual_seed(1)
    wanted = torch.randn(6, 12, generator=chance)
    found = torch.nn.Linear(12, 6, bias=False)
    muon = Muon([found.weight], lr=0.05, dtype=dtype)
    first = (found.weight - wanted).square().mean().item()
    for _ in range(200):
        inputs = torch.randn(32, 12, generator=chance)
        muon.zero_grad()
        (found(inputs) - inputs @ wanted.T).square().mean().backward()
        muon.step()
    assert (found.weight - wanted).square().mean().item() < first / 20
