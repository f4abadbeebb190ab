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

from metier.sources.factored import Factored
from metier.training.net import Net

if TYPE_CHECKING:
    from metier.training.augment import Views
    from metier.training.feed import Feed


@contextmanager
def compacted(net: Net, feeds: Sequence[Feed | Views]) -> Iterator[None]:
    """Swap a token embedding that learns for one of the tokens in use; put it back, trained, at the
    end.

    `feeds` are all rows that the net will be given. Token ids stay as they are until they reach the
    table, since some networks count positions from them.
    """
    table = _token_table(net)
    if table is None:
        yield
        return
    used = np.unique(np.concatenate([feed.tokens() for feed in feeds]))
    padding = table.padding_idx
    # What batches are padded with, and what the table takes for padding.
    used = np.union1d(used, [0] if padding is None else [0, padding])
    whole = table.weight
    rows = torch.from_numpy(used).to(whole.device)
    places = torch.full((len(whole),), -1, dtype=torch.long, device=whole.device)
    places[rows] = torch.arange(len(used), device=whole.device)
    table.weight = torch.nn.Parameter(whole.detach()[rows].clone())
    table.padding_idx = None if padding is None else int(places[padding])
    handle = table.register_forward_pre_hook(lambda _, ids: (places[ids[0]],))
    try:
        yield
    finally:
        handle.remove()
        with torch.no_grad():
            whole[rows] = table.weight
        table.weight, table.padding_idx = whole, padding


def _token_table(net: Net) -> torch.nn.Embedding | None:
    encoder: Any = net.backbone.model
    try:
        table = encoder.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    if isinstance(table, Factored):
        table = table.rows
    if not isinstance(table, torch.nn.Embedding) or not table.weight.requires_grad:
        return None
    # Where another layer holds the same weights (BART), both would have to be swapped.
    held = sum(p is table.weight for _, p in encoder.named_parameters(remove_duplicate=False))
    return table if held == 1 else None
