"""Embeddings of neighbouring words drawn together, before anything learns."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metier.sources.backbone import Backbone
from metier.sources.factored import Factored
from metier.training.adapted import Adapted
from metier.training.neighbours import NONE, Neighbours, embedding_of
from metier.training.net import NetModel
from metier.types import Specialist

M = TypeVar("M", bound=nn.Module)
ROUNDS = 100
"""Rounds of drawing. Ten are enough for a weak pull (Faruqui et al., 2015); a strong one goes
through whole chains of neighbours and takes longer to settle."""


def drawn_together(
    start: Specialist, known: Neighbours, pull: float, counts: NDArray[np.int64]
) -> Specialist:
    """Return a specialist whose words stand closer to their neighbours; the other weights are
    shared with where it came from.

    Each word goes to where it is held by its own place, with weight 1, and by the mean of its
    neighbours and itself, with weight `pull`: words that may stand for each other then mean nearly
    the same to the network, also those that no training row holds. Synonym encoding gives each
    cluster of words one code to the same end (Wang et al., 2021); the places are those of
    retrofitting (Faruqui et al., 2015), but for two things. A word counts in a mean as often as it
    is read, so that the rare ones come to the common ones and the network meets few words where it
    does not know them. And it is part of its own mean: without that, two words that have only each
    other change places round after round, and a strong pull never has them meet.

    Args:
        start: what to draw the words of.
        known: which words are neighbours.
        pull: the weight of the mean against a word's own place.
        counts: how often each token id is read; those beyond the end are not.
    """
    if isinstance(start.model, NetModel):
        net = _own_table(start.model.net, start.model.net.backbone)
        _draw(net.backbone, known, pull, counts)
        return replace(start, model=replace(start.model, net=net, untouched=0))
    source: Any = start.source
    loaded: Backbone = source.load()
    backbone = _own_table(loaded, loaded)
    _draw(backbone, known, pull, counts)
    return replace(start, source=Adapted(start.source, backbone))


def _own_table(module: M, backbone: Backbone) -> M:
    """A copy that shares everything but the table of words."""
    own = _table(backbone)
    shared = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, {id(value): value for value in shared if value is not own})


def _table(backbone: Backbone) -> Tensor:
    """The rows of the words; those of two factors move as their product does."""
    table: Any = embedding_of(backbone)
    rows = table.rows if isinstance(table, Factored) else table
    weight: Tensor = rows.weight
    return weight


def _draw(backbone: Backbone, known: Neighbours, pull: float, counts: NDArray[np.int64]) -> None:
    table = _table(backbone)
    words, others = (each.to(table.device) for each in _pairs(known))
    held, words = words.unique(return_inverse=True)
    others = torch.searchsorted(held, others.contiguous())  # every pair is there in both directions
    often = torch.ones(len(table), 1)
    often[: len(counts), 0] += torch.from_numpy(counts)
    weight = often.to(table)[held]
    whole = weight.index_add(0, words, weight[others])
    with torch.no_grad():
        own = table[held]
        here = own
        for _ in range(ROUNDS):
            heavy = weight * here
            mean = heavy.index_add(0, words, heavy[others]) / whole
            here = (own + pull * mean) / (1 + pull)
        table[held] = here


def _pairs(known: Neighbours) -> tuple[Tensor, Tensor]:
    """Words and their neighbours, each pair in both directions, since of two words one may be
    among the nearest of the other alone."""
    word, place = (known.ids != NONE).nonzero(as_tuple=True)
    other = known.ids[word, place]
    both = torch.stack([torch.cat([word, other]), torch.cat([other, word])])
    words, others = both.unique(dim=1)
    return words, others
