"""Training with only the embedding rows that the texts use.

A vocabulary of 30,000 words costs a dense gradient and an optimiser step of millions of numbers
for a batch that touches a few hundred rows. Rows of words that never occur have no gradient and are
given no weight decay here, so leaving them out changes nothing: the result is exactly that of
training the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metier.training.net import Net

if TYPE_CHECKING:
    from metier.training.feed import Feed


@contextmanager
def compacted(net: Net, feeds: Sequence[Feed], *, learns: bool) -> Iterator[None]:
    """Swap the token embedding for one of the tokens in use; put it back, trained, at the end."""
    table = _token_table(net) if learns else None
    if table is None:
        yield
        return
    used = np.unique(np.concatenate([feed.tokens() for feed in feeds]))
    if table.padding_idx is not None:
        used = np.union1d(used, [table.padding_idx])
    used = np.union1d(used, [0])  # what batches are padded with
    rows = torch.from_numpy(used).to(table.weight.device)
    whole = table.weight
    remap = torch.zeros(whole.shape[0], dtype=torch.long, device=whole.device)
    remap[rows] = torch.arange(len(used), device=whole.device)
    padding = table.padding_idx
    table.weight = torch.nn.Parameter(whole.detach()[rows].clone())
    table.padding_idx = None if padding is None else int(remap[padding])
    for feed in feeds:
        feed.remap = remap
    try:
        yield
    finally:
        with torch.no_grad():
            whole[rows] = table.weight
        table.weight, table.padding_idx = whole, padding
        for feed in feeds:
            feed.remap = None


def _token_table(net: Net) -> torch.nn.Embedding | None:
    encoder: Any = net.backbone.model
    try:
        table = encoder.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    if not isinstance(table, torch.nn.Embedding) or not table.weight.requires_grad:
        return None
    return table
