from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from metier.training.clipping import Clip, light_clips


def kept_by(layer: nn.Module, given: torch.Tensor) -> int:
    """The bytes that a layer keeps for its gradient."""
    sizes: dict[int, int] = {}

    def note(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        layer(given)
    return sum(sizes.values())


@pytest.mark.parametrize("plain", [nn.ReLU6(), nn.Hardtanh(-1.5, 0.5)])
def test_numbers_and_gradients_are_those_of_torch(plain: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(4, 6, 5, 5, generator=generator) * 6
    given[0, 0] = torch.tensor([plain.min_val, plain.max_val, 0.0, -0.0, 100.0])
    given = given.contiguous(memory_format=torch.channels_last)
    onward = torch.randn(given.shape, generator=generator)
    found = []
    for layer in (plain, Clip(plain.min_val, plain.max_val)):
        entered = given.clone().requires_grad_(True)
        left = layer(entered)
        left.backward(onward)
        assert entered.grad is not None
        found.append((left, entered.grad))
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two) and one.stride() == two.stride()


def test_a_byte_an_element_is_kept() -> None:
    given = torch.randn(64, 64, requires_grad=True) * 1.0
    assert kept_by(nn.ReLU6(), given) == 4 * given.numel()
    assert kept_by(Clip(0.0, 6.0), given) == given.numel()


def test_layers_are_put_back() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU6(), nn.Sequential(nn.Hardtanh(-2.0, 2.0)))
    before = list(net.modules())
    with pytest.raises(KeyError), light_clips(net):
        assert type(net[1]) is Clip and net[1].max_val == 6.0
        inner: Any = net[2]
        assert type(inner[0]) is Clip and inner[0].min_val == -2.0
        raise KeyError
    assert all(one is two for one, two in zip(before, net.modules(), strict=True))
