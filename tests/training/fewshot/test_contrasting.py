from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from metier.cache import Cache
from metier.tasks import build
from metier.training.fewshot import contrasting
from metier.training.fewshot.contrasting import (
    Contrasted,
    features_of,
    likeness,
    paired,
    recognised,
)
from metier.training.objectives import Batch, Supervised
from metier.training.start import feed_for, fresh_net
from metier.types import Problem, Run, Specialist, Table

LABELS = torch.tensor([0, 0, 1, 1])


def test_labels_in_common_make_rows_alike() -> None:
    assert likeness(LABELS).tolist()[0] == [1.0, 1.0, 0.0, 0.0]
    marks = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    found = likeness(marks)
    assert found[0, 1] == 0.5 and found[0, 2] == 0.0 and found[2, 2] == 1.0


@pytest.mark.parametrize("loss", [lambda u, a: recognised(u, a, 0.1), paired])
def test_the_loss_falls_when_rows_of_a_class_come_together(loss: Any) -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn((4, 6), generator=random).requires_grad_(True)
    alike = likeness(LABELS)
    optimizer = torch.optim.SGD([rows], lr=0.1)
    losses = []
    for _ in range(60):
        each = loss(functional.normalize(rows), alike)
        assert each.shape == (4,)
        losses.append(float(each.detach().mean()))
        optimizer.zero_grad()
        each.mean().backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    cosines = functional.normalize(rows.detach()) @ functional.normalize(rows.detach()).T
    assert min(cosines[0, 1], cosines[2, 3]) > cosines[:2, 2:].max()


def test_the_neighbour_loss_is_that_of_the_paper() -> None:
    """Khosla et al. (2020), the sum outside the logarithm, written out for each pair."""
    random = torch.Generator().manual_seed(1)
    unit = functional.normalize(torch.randn((4, 5), generator=random))
    scores = (unit @ unit.T / 0.2).numpy()
    wanted = []
    for i in range(4):
        others = [j for j in range(4) if j != i]
        own = [j for j in others if LABELS[j] == LABELS[i]]
        total = np.log(np.exp(scores[i, others]).sum())
        wanted.append(np.mean([total - scores[i, j] for j in own]))
    found = recognised(unit, likeness(LABELS), 0.2)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)


@pytest.fixture
def batched(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Table]
) -> Callable[[int], tuple[Any, Batch]]:
    def make(boundary: int) -> tuple[Any, Batch]:
        source = tiny_sources["bert"]
        table = tiny_table(source, 40)
        task = build("multiclass", table)
        problem, run = Problem(task, table), Run(Cache())
        model = fresh_net(Specialist(source, task), problem, boundary)
        feed = feed_for(model, table, run)
        feed.prepare(boundary)
        rows = np.arange(40)
        targets = torch.from_numpy(task.encode(table))
        hidden = feed.hidden(rows, boundary)
        batch = Batch(feed.inputs(rows), hidden, boundary, targets, feed.digests)
        return model.net.eval(), batch

    return make


@pytest.mark.parametrize("boundary", [0, 2])
def test_texts_pass_in_parts_of_like_length_and_come_back_in_order(
    boundary: int, batched: Callable[[int], tuple[Any, Batch]]
) -> None:
    net, batch = batched(boundary)
    assert len(batch.targets) > contrasting.TOGETHER
    with torch.no_grad():
        whole = net.backbone(batch.inputs, batch.hidden, batch.at)
        torch.testing.assert_close(features_of(net, batch), whole, atol=1e-5, rtol=1e-4)


def test_rows_count_as_much_as_they_weigh(batched: Callable[[int], tuple[Any, Batch]]) -> None:
    net, batch = batched(2)
    task: Any = None
    plain = Contrasted(Supervised(task))
    names = batch.digests.tolist()
    even = Contrasted(Supervised(task, rows=dict.fromkeys(names, 1.0)))
    none = Contrasted(Supervised(task, rows=dict.fromkeys(names, 0.0)))
    with torch.no_grad():
        torch.testing.assert_close(plain(net, batch), even(net, batch))
        assert float(none(net, batch)) == 0.0
