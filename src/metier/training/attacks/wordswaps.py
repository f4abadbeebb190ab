"""Replacing the words of a batch by their neighbours, where the gradient says that it hurts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metier.sources.backbone import Inputs
from metier.training.neighbours import NONE, Neighbours, embedding_of
from metier.training.net import Net
from metier.training.objectives import Batch, Objective

if TYPE_CHECKING:
    from metier.training.feed import Feed


@dataclass(frozen=True)
class WordSwaps:
    """Replace words by neighbours all at once, those whose first-order gain is highest
    (Ebrahimi et al., 2018, "HotFlip").

    Args:
        neighbours: which word may stand for which.
        share: of a text's words, how many are replaced at most; one at least.
        guided: follow the gradient; else words and neighbours are drawn at random.
        feeds: rows that hold the neighbours, so that a network that keeps only the embeddings in
            use keeps theirs.
    """

    neighbours: Neighbours
    share: float
    guided: bool = True
    feeds: Sequence[Feed] = ()
    enters: int = 0

    def __call__(self, net: Net, batch: Batch, objective: Objective) -> Batch:
        known = self.neighbours.to(batch.targets.device)
        ids = batch.inputs["input_ids"]
        if self.guided:
            with embeddings_watched(net) as seen:
                loss = objective(net, batch)
                (gradient,) = torch.autograd.grad(loss, seen[0])
            gains = gains_of(known, net, ids, seen[0], gradient)
        else:
            gains = torch.rand((*ids.shape, known.ids.shape[1])).to(ids.device)
        changed = swapped(known, batch.inputs, gains, self.share)
        return replace(batch, inputs={**batch.inputs, "input_ids": changed})


@contextmanager
def embeddings_watched(net: Net) -> Iterator[list[Tensor]]:
    """Collect the embeddings of each pass, (windows, length, width), as leaves of the graph."""
    seen: list[Tensor] = []

    def watch(_: object, __: object, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_(True))
        return seen[-1]

    handle = embedding_of(net.backbone).register_forward_hook(watch)
    try:
        yield seen
    finally:
        handle.remove()


def gains_of(
    known: Neighbours, net: Net, ids: Tensor, embedded: Tensor, gradient: Tensor
) -> Tensor:
    """Return how much each neighbour of each token would raise the loss, to first order:
    (windows, length, neighbours).

    `embedded` and `gradient` (windows, length, width) are what the network's own table makes of the
    tokens now, and the gradient there. What training made of the table counts, not the one that
    neighbours were found in.
    """
    now = (embedded * gradient).sum(-1)
    with torch.no_grad():
        others: Tensor = embedding_of(net.backbone)(known.ids[ids].clamp(min=0))
    then = (others * gradient.unsqueeze(2)).sum(-1)
    return (then - now.unsqueeze(2)).detach()


def swapped(known: Neighbours, inputs: Inputs, gains: Tensor, share: float) -> Tensor:
    """Return token ids with the most gainful neighbours in place, a share of each window's words.

    A word stays where no neighbour of it gains anything.
    """
    ids = inputs["input_ids"]
    words = known.words(ids) & (inputs["attention_mask"] > 0)
    allowed = (known.ids[ids] != NONE) & words.unsqueeze(2)
    best, which = torch.where(allowed, gains, -torch.inf).max(dim=2)
    count = words.sum(1)
    most = (share * count).ceil().clamp(min=1)
    rank = best.argsort(dim=1, descending=True).argsort(dim=1)
    taken = (rank < most.unsqueeze(1)) & (best > 0)
    candidates = known.ids[ids].gather(2, which.unsqueeze(2)).squeeze(2)
    return torch.where(taken, candidates, ids)
