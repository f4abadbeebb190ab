"""Losses that bring two sets of features together."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from metier.training.objectives import Batch
from metier.training.unlabelled.alignment import Rival, aligned, confusion, coral, mmd, recoloured
from metier.training.unlabelled.consistent import consistent


def clouds(move: float, wide: float = 1.0, n: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    own, theirs = (torch.randn((n, 6), generator=random) for _ in range(2))
    return own, theirs * wide + move


NONE = torch.zeros(0)
NO_ROWS = np.zeros(0, dtype=np.uint64)


@pytest.mark.parametrize("loss", [coral, mmd])
@pytest.mark.parametrize(("move", "wide"), [(2.0, 1.0), (0.0, 3.0)])
def test_unlike_rows_are_further_apart(loss: object, move: float, wide: float) -> None:
    assert callable(loss)
    own, same = clouds(0.0)
    _, other = clouds(move, wide)
    assert float(loss(own, other, NONE)) > 4 * max(float(loss(own, same, NONE)), 1e-3)


@pytest.mark.parametrize("loss", [coral, mmd])
def test_following_the_gradient_brings_them_together(loss: object) -> None:
    assert callable(loss)
    own, theirs = clouds(2.0, n=64)
    shift = torch.zeros(6, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.1)
    before = float(loss(own, theirs, NONE))
    for _ in range(40):
        optimizer.zero_grad()
        loss(own, theirs + shift, NONE).backward()
        optimizer.step()
    assert float(loss(own, theirs + shift.detach(), NONE)) < 0.3 * before


def test_chance_alone_does_not_set_batches_apart() -> None:
    """Batches have fewer rows than features: what tells them apart then must not be their size."""
    random = torch.Generator().manual_seed(0)
    batches = [torch.randn(32, 384, generator=random) for _ in range(60)]
    found = [float(coral(a, b, NONE)) for a, b in zip(batches[::2], batches[1::2], strict=True)]
    assert abs(np.mean(found)) < 0.05
    moved = [
        float(coral(a, 1.5 * b, NONE)) for a, b in zip(batches[::2], batches[1::2], strict=True)
    ]
    assert np.mean(moved) > 0.1


def test_coral_has_no_unit() -> None:
    own, theirs = clouds(1.0)
    assert float(coral(own, theirs, NONE)) == pytest.approx(
        float(coral(100 * own, 100 * theirs, NONE)), rel=1e-3
    )


def test_sure_answers_that_are_spread_are_least_confused() -> None:
    sure = 20 * torch.eye(3).repeat(5, 1)
    torn = 20 * torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]).repeat(5, 1)
    assert float(confusion(NONE, NONE, sure)) < 0.05 < float(confusion(NONE, NONE, torn))


def test_a_rival_is_answered_by_moving_towards_the_others() -> None:
    own, theirs = clouds(0.0, n=64)
    theirs = theirs + torch.tensor([3.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    shift = torch.zeros(6, requires_grad=True)
    rival = Rival(6, 0, "cpu")
    optimizer = torch.optim.SGD([shift], lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        rival(own, theirs + shift, NONE).backward()
        optimizer.step()
    assert float(shift.detach()[0]) < -1.0


class Passes(torch.nn.Module):
    """A net whose features are its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Rows()
        self.head = torch.nn.Linear(6, 2)
        self.dropout = torch.nn.Identity()


class Rows(torch.nn.Module):
    def forward(self, inputs: dict[str, torch.Tensor], *_: object) -> torch.Tensor:
        return inputs["x"] * 1.0


@pytest.mark.parametrize("pieces", [[10], [4, 4, 2]])
def test_all_rows_of_a_batch_are_aligned_and_no_attack_on_them(pieces: list[int]) -> None:
    """A loss may pass a batch in pieces, and another time before that."""
    own, theirs = clouds(1.0, n=10)
    batch = Batch({"x": own}, None, 0, NONE, np.arange(10, dtype=np.uint64))
    net: Any = Passes()
    given: list[torch.Tensor] = []

    def inner(net: Any, batch: Batch) -> torch.Tensor:
        net.backbone({"x": batch.inputs["x"] + 9}, None, 0)
        for part in batch.inputs["x"].split(pieces):
            net.backbone({"x": part}, None, 0)
        return torch.zeros(())

    def apart(own: torch.Tensor, theirs: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        given.extend((own, theirs))
        return torch.ones(())

    beside: Any = SimpleNamespace(draw=lambda *_: Batch({"x": theirs}, None, 0, NONE, NO_ROWS))
    objective: Any = inner
    assert float(aligned(apart, 3.0)(objective, beside, net, batch)) == 3.0
    assert torch.equal(given[0].sort(dim=0).values, own.sort(dim=0).values)
    assert torch.equal(given[1], theirs)


def test_what_is_consistent_too_is_not_aligned_with_itself() -> None:
    own, theirs = clouds(1.0, n=10)
    batch = Batch({"x": own}, None, 0, NONE, np.arange(10, dtype=np.uint64))
    net: Any = Answering()
    given: list[torch.Tensor] = []

    def inner(net: Any, batch: Batch) -> torch.Tensor:
        return cast("torch.Tensor", net(batch.inputs, None, 0)).sum() * 0

    def apart(own: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        given.append(own)
        return torch.ones(())

    beside: Any = SimpleNamespace(draw=lambda *_: Batch({"x": theirs}, None, 0, NONE, NO_ROWS))
    objective: Any = inner
    within: Any = partial(consistent(lambda batch: batch, "multiclass"), objective, beside)
    aligned(apart)(within, beside, net, batch)
    assert torch.equal(given[0], own)


class Answering(Passes):
    """One that gives scores, too."""

    def forward(self, *inputs: Any) -> torch.Tensor:
        return cast("torch.Tensor", self.head(self.backbone(*inputs)))


def test_recoloured_features_have_the_others_mean_and_nearly_their_width() -> None:
    own, theirs = clouds(3.0, wide=2.0)
    found = recoloured(own, theirs, ridge=1e-6)
    assert torch.allclose(found.mean(0), theirs.mean(0), atol=1e-3)
    assert torch.allclose(torch.cov(found.T), torch.cov(theirs.T), atol=1e-2)
    assert torch.allclose(recoloured(own, own), own, atol=1e-3)
