"""Dropout with cheap random numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metier.training.dropout import Dropout, quick_dropout


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_elements_are_dropped_at_the_rate_and_the_mean_is_kept(rate: float) -> None:
    torch.manual_seed(0)
    found = Dropout(rate)(torch.ones(1000, 401))
    kept = found != 0
    assert abs(float(kept.float().mean()) - (1 - rate)) < 0.005
    assert torch.allclose(found[kept], torch.tensor(1 / (1 - rate)), rtol=1e-4)
    assert abs(float(found.mean()) - 1) < 0.01


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).float()
    for distance in (1, 2, 3, 4):
        together = float((dropped[:-distance] * dropped[distance:]).mean())
        assert abs(together - 0.25) < 0.005


def test_gradients_flow_through_what_was_kept_only() -> None:
    values = torch.ones(64, requires_grad=True)
    found = Dropout(0.5)(values)
    found.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, found.detach())


def test_the_seed_decides() -> None:
    first, second = (_drawn(7), _drawn(7))
    assert torch.equal(first, second)
    assert not torch.equal(first, _drawn(8))


def _drawn(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(0.3)(torch.ones(33))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_ends_are_exact(rate: float) -> None:
    assert torch.equal(Dropout(rate)(torch.ones(5)), torch.full((5,), 1 - rate))


def test_nothing_is_dropped_when_predicting() -> None:
    assert torch.equal(Dropout(0.5).eval()(torch.ones(9)), torch.ones(9))


def test_layers_are_swapped_for_a_while() -> None:
    net = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    before = list(net.modules())
    net.eval()
    with quick_dropout(net):
        assert isinstance(net[0], Dropout)
        assert not net[0].training
        net[0].p = 0.4
        net.train()
    assert list(net.modules()) == before
    assert net[0].training
