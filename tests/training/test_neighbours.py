"""Words are looked up where the table of the network lies."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metier.training.neighbours import embedding_of, neighbours
from metier.training.start import preprocess_of
from metier.types import Table

Tables = Callable[..., Table]


class Away(nn.Module):
    """A table whose weight lies on a device of its own, and which takes ids from there alone."""

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(known.shape, device="meta"))
        self.known = known

    def forward(self, ids: Tensor) -> Tensor:
        assert ids.device == self.weight.device
        return self.known[: len(ids)]


def test_a_table_on_another_device_is_asked_there(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    reads: Any = preprocess_of(source, tiny_table(source, 6))
    backbone = source.load()
    known = embedding_of(backbone).weight.detach()
    away: Any = SimpleNamespace(model=SimpleNamespace(get_input_embeddings=lambda: Away(known)))
    every = np.arange(len(known))
    wanted = neighbours(reads, backbone, every, least=0.1)
    found = neighbours(reads, away, every, least=0.1)
    assert torch.equal(found.ids, wanted.ids) and bool((found.ids >= 0).any())
