"""Rows without labels, of which a batch is read beside each labelled one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metier.training.attacks.pgd import as_at_predict
from metier.training.batches import shuffled
from metier.training.feed import Feed
from metier.training.net import Net
from metier.training.objectives import Batch, Objective


@dataclass(frozen=True)
class Beside:
    """Batches of rows without labels, entered where the labelled ones are, and read by the net that
    is learning: what wraps a strategy may have changed the one that it begins from.

    Which batch comes next follows torch's random numbers, which a checkpoint holds, so a fit that
    is resumed reads the same.

    Args:
        feed: the rows.
        rows: of a batch at most.
        seed: of how they are put together.
    """

    feed: Feed
    rows: int = 32
    seed: int = 0

    def draw(self, net: Net, at: int) -> Batch:
        """Return a batch for a net that is entered at a boundary; its targets are empty."""
        order = self._order
        rows = order[int(torch.randint(len(order), ()))]
        at = self._prepared(net, at)
        inputs = {} if at == net.backbone.depth else self.feed.inputs(rows, light=at > 0)
        return Batch(inputs, self.feed.hidden(rows, at), at, NOTHING, self.feed.digests[rows])

    @cached_property
    def _order(self) -> list[NDArray[np.int64]]:
        return shuffled(self.feed.costs, self.rows, self.feed.budget, (self.seed,))

    def _prepared(self, net: Net, at: int) -> int:
        """The boundary at which these rows enter, prepared once a net."""
        if self.feed.backbone is not net.backbone:
            self.feed.backbone = net.backbone
            self._boundaries.clear()
        if at not in self._boundaries:
            with as_at_predict(net):
                self._boundaries[at] = self.feed.prepare(at)
        return self._boundaries[at]

    @cached_property
    def _boundaries(self) -> dict[int, int]:
        return {}


NOTHING = torch.zeros(0)
"""The targets of rows without labels."""
Both = Callable[[Objective, Beside, Net, Batch], Tensor]
"""A loss of a net on a labelled batch, by an objective of its own, and on rows drawn beside it."""


@dataclass(frozen=True)
class Accompanied:
    """An objective of labelled rows that reads rows without labels beside them.

    Args:
        inner: the loss on labelled rows.
        beside: the unlabelled rows.
        both: the loss on both.
    """

    inner: Objective
    beside: Beside
    both: Both

    @property
    def enters(self) -> int | None:
        return self.inner.enters

    @property
    def feeds(self) -> Sequence[Feed]:
        return (*self.inner.feeds, self.beside.feed)

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        return self.both(self.inner, self.beside, net, batch)
