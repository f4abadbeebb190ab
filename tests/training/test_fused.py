"""A network under a model of tables reads rows where it lies; its graph is made on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metier.cache import Cache
from metier.strategies.fuse import Fuse
from metier.strategies.linear import Linear
from metier.tasks import build
from metier.training.fused import Fused
from metier.types import Problem, Run, Specialist, Table
from tests.strategies.test_conformance import with_numbers

Tables = Callable[..., Table]


class Away:
    """A net on an accelerator that is not here: it tells where its rows were, and is of use only
    when it is brought back."""

    def __init__(self, net: Any) -> None:
        self.backbone: Any = Told(net.backbone.width)
        self.head = nn.Linear(1, 1, device="meta")
        self._net = net

    def to(self, device: str) -> Any:
        assert device == "cpu"
        return self._net


class Told(nn.Module):
    """A network that notes where its rows are."""

    depth, pooling, normalise, model = 1, "mean", False, None

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.places: list[str] = []

    def level_of(self, name: str) -> int:
        return 0

    def activations(self, inputs: dict[str, Tensor], at: int) -> Tensor:
        self.places.append(inputs["input_ids"].device.type)
        return torch.zeros(len(inputs["input_ids"]), self.width)


@pytest.fixture
def rows(tiny_sources: dict[str, Any], tiny_table: Tables) -> Table:
    return with_numbers(tiny_table(tiny_sources["bert"], 40, "binary"))


@pytest.fixture
def fused(tiny_sources: dict[str, Any], rows: Table) -> Fused:
    task = build("binary", rows)
    start = Specialist(tiny_sources["bert"], task)
    made = Fuse(Linear(strength=1.0))(start, Problem(task, rows), Run(Cache())).model
    assert isinstance(made, Fused)
    return made


def test_the_graph_is_that_of_the_net_brought_back(fused: Fused) -> None:
    away: Any = Away(fused.net.net)
    moved = Fused(replace(fused.net, net=away), fused.inner)
    assert moved.graph().SerializeToString() == fused.graph().SerializeToString()


def test_rows_go_where_the_net_is(fused: Fused, rows: Table) -> None:
    away: Any = Away(fused.net.net)
    # What stands in for another device holds no numbers: torch has nothing to bring back from it.
    with pytest.raises(NotImplementedError):
        Fused(replace(fused.net, net=away), fused.inner).scores(rows)
    assert set(away.backbone.places) == {"meta"}
