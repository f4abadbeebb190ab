"""Masked language modelling on the texts of the user, from whatever encoder there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metier.errors import ChainError
from metier.runtime.text import Text
from metier.training.feed import Feed
from metier.training.loop import fit
from metier.training.net import Net, NetModel
from metier.training.objectives import Batch
from metier.training.schedule import Schedule
from metier.training.standing import Outcome
from metier.training.start import feed_for
from metier.types import Kind, Roles, Run, Table

SHARE, MASKED, SWAPPED = 0.15, 0.8, 0.1
"""The share of the tokens that are to be said; of those how many are masked, and how many are
swapped for another token of the batch, as in BERT (Devlin et al., 2019)."""
MASKS = ("[MASK]", "<mask>")
HEAD = "words"
"""The name in the backbone of what says words, as long as it learns."""


class Words(nn.Module):
    """From states to words: a layer, then the token embedding itself (Press and Wolf, 2017).

    An encoder that was saved without such a head gets one that begins as the identity: it says the
    words whose embeddings are like the state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        nn.init.eye_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """Scores (n, words) of states (n, width) for embeddings (words, width)."""
        scores: Tensor = self.norm(self.layer(states)) @ words.T
        return scores


@dataclass(frozen=True)
class Masked:
    """The loss of saying the tokens that were hidden, among all that the texts use.

    Args:
        head: what says them; it learns beside the net.
        words: (words,) the tokens that the texts use, in order.
        mask: the token that stands for a hidden one.
        special: tokens that are never hidden.
        feeds: rows that hold the mask, so that its embedding is among those in use.
    """

    head: Words
    words: Tensor
    mask: int
    special: Tensor
    feeds: Sequence[Feed] = ()
    enters: int = 0

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        ids = batch.inputs["input_ids"]
        may = batch.inputs["attention_mask"].bool() & ~torch.isin(ids, self.special)
        said = may & (torch.rand(ids.shape, device=ids.device) < SHARE)
        if not bool(said.any()):  # texts of a word or two
            none: Tensor = net.backbone(batch.inputs).sum() * 0.0
            return none
        encoder: Any = net.backbone.model
        given = {k: v for k, v in batch.inputs.items() if k != "assign"}
        hidden = {**given, "input_ids": self._hidden(ids, may, said)}
        states = encoder(**hidden, return_dict=True).last_hidden_state[said]
        scores = self.head(states, encoder.get_input_embeddings()(self.words))
        return functional.cross_entropy(scores.float(), torch.searchsorted(self.words, ids[said]))

    def _hidden(self, ids: Tensor, may: Tensor, said: Tensor) -> Tensor:
        """The tokens with those to be said masked, swapped or left as they are."""
        dice = torch.rand(ids.shape, device=ids.device)
        others = ids[may]
        drawn = others[torch.randint(len(others), ids.shape, device=ids.device)]
        found = torch.where(said & (dice < MASKED), torch.full_like(ids, self.mask), ids)
        return torch.where(said & (dice >= MASKED) & (dice < MASKED + SWAPPED), drawn, found)


def learn_words(model: NetModel, table: Table, schedule: Schedule, run: Run) -> Outcome:
    """Train the whole backbone of a net, in place, to say masked words of these texts.

    Raises ChainError for what reads no texts or knows no mask, and Pruned when out of time.
    """
    text = model.preprocess
    if not isinstance(text, Text):
        raise ChainError("pretrain needs a network that reads texts alone")
    name, mask, special = _known(text)
    feed = feed_for(model, table, run)
    device = model.net.head.weight.device
    words = torch.from_numpy(np.union1d(feed.tokens(), [mask])).to(device)
    for parameter in model.net.head.parameters():
        parameter.requires_grad_(False)
    with _saying_words(model.net) as head:
        objective = Masked(
            head,
            words,
            mask,
            torch.from_numpy(special).to(device),
            (feed_for(model, _of_mask(text, name), run),),
        )
        targets = np.zeros(len(table), dtype=np.int64)
        return fit(model.net, feed, targets, objective, schedule, run)


@contextmanager
def _saying_words(net: Net) -> Iterator[Words]:
    """Put what says words into the backbone, where it learns beside it, and take it out again."""
    encoder: Any = net.backbone.model
    head = Words(int(encoder.get_input_embeddings().embedding_dim))
    net.backbone.add_module(HEAD, head.to(net.head.weight.device))
    try:
        yield head
    finally:
        delattr(net.backbone, HEAD)


def _known(text: Text) -> tuple[str, int, NDArray[np.int64]]:
    """The token that masks, as it is written and by number, and those that are never hidden."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(text.tokenizer)
    for name in MASKS:
        number = tokenizer.token_to_id(name)
        if number is not None:
            added = tokenizer.get_added_tokens_decoder()
            special = [place for place, token in added.items() if token.special]
            return name, int(number), np.array(sorted({*special, number}), dtype=np.int64)
    raise ChainError("pretrain: the tokenizer of this source has no mask to hide words behind")


def _of_mask(text: Text, name: str) -> Table:
    """One row that holds the mask in every column."""
    kinds: dict[str, Kind] = dict.fromkeys(text.columns, "text")
    return Table(pl.DataFrame({column: [name] for column in text.columns}), Roles(kinds))
