from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from metier.training.mixing import Mixed, mixed_or_pasted, mixing
from metier.training.objectives import Batch

from .conftest import Ready

Make = Callable[..., Ready]


def batch_of(made: Ready, at: int) -> Batch:
    import numpy as np

    rows = np.arange(12)
    made.feed.prepare(at)
    targets = torch.as_tensor(made.targets[rows])
    inputs = made.feed.inputs(rows, light=at > 0)
    return Batch(inputs, made.feed.hidden(rows, at), at, targets, made.feed.digests[rows])


def test_pasted_parts_count_as_much_as_they_are_large() -> None:
    value = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 10)
    order = torch.tensor([1, 0, 3, 2])
    pasted = 0
    for seed in range(20):
        torch.manual_seed(seed)
        found, share = mixed_or_pasted(value, order, 0.7)
        own = value[1, 0, 0, 0]
        if float(found[0].max()) in (0.0, 1.0):
            pasted += 1
            assert float((found[0, 0] != own).float().mean()) == pytest.approx(share)
        else:
            torch.testing.assert_close(found, torch.lerp(value[order], value, 0.7))
    assert 3 < pasted < 17
    torch.testing.assert_close(value[:, 0, 0, 0], torch.arange(4.0))


@pytest.mark.parametrize(("name", "at"), [("bert", 0), ("bert", 2), ("mobilenet", 0), ("vit", 2)])
def test_the_loss_lies_between_those_of_the_rows(name: str, at: int, ready: Make) -> None:
    made = ready(name, at)
    batch, net = batch_of(made, at), made.net.eval()
    supervised: Any = made.objective
    torch.manual_seed(0)
    one = Mixed(supervised, 0.2)(net, batch)
    torch.manual_seed(0)
    assert torch.equal(one, Mixed(supervised, 0.2)(net, batch))
    one.backward()
    assert net.head.weight.grad is not None and bool(torch.isfinite(one))
    torch.manual_seed(1)
    assert not torch.equal(one, Mixed(supervised, 0.2)(net, batch))


def test_rows_that_are_hardly_mixed_have_their_own_loss(ready: Make) -> None:
    """Draws of Beta(a, a) for a tiny a are nearly 0 or 1: the loss of the rows, in either order."""
    made = ready("bert", 2)
    batch, net = batch_of(made, 2), made.net.eval()
    supervised: Any = made.objective
    with torch.no_grad():
        mixed = Mixed(supervised, 1e-3)(net, batch)
        torch.testing.assert_close(mixed, supervised(net, batch), atol=0.02, rtol=0.0)


def test_no_share_mixes_nothing() -> None:
    assert mixing(0.0) is None and mixing(0.2) is not None
