"""Words that stand close to each other in a network's own table of embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from metier.runtime.text import Text
from metier.sources.backbone import Backbone

MOST = 8
"""Neighbours that a word has at most."""
LEAST = 0.55
"""The cosine of two embeddings from which their words count as neighbours: opposites such as good
and bad mostly lie below it in the tables that were looked at."""
SHORTEST = 3
"""Letters of the shortest word that is replaced, or replaces."""
NONE = -1
ROWS_AT_A_TIME = 512
STARTS = ("Ġ", "▁")
"""What marks the start of a word in byte-level and in sentence-piece vocabularies."""


@dataclass(frozen=True)
class Neighbours:
    """Which whole words may stand for which.

    Args:
        ids: (vocabulary, most) token ids, nearest first, `NONE` where there are fewer.
        continues: (vocabulary,) whether a token goes on with the word before it.
    """

    ids: Tensor
    continues: Tensor

    def words(self, tokens: Tensor) -> Tensor:
        """Return which of the tokens (n, length) are whole words that have a neighbour."""
        known = self.ids[tokens, 0] != NONE
        last = torch.zeros_like(known[:, :1])
        broken = torch.cat([self.continues[tokens][:, 1:], last], dim=1)
        return known & ~broken

    def texts(self, preprocess: Text) -> list[str]:
        """Return all words that may take the place of another one."""
        found = self.ids.unique()
        return tokenizer_of(preprocess).decode_batch([[i] for i in found[found != NONE].tolist()])

    def to(self, device: torch.device) -> Neighbours:
        """Return the same on another device."""
        return Neighbours(self.ids.to(device), self.continues.to(device))

    def among(self, used: NDArray[np.int64]) -> Neighbours:
        """Return the same for these tokens alone; the others have no neighbours."""
        ids = torch.full_like(self.ids, NONE)
        ids[used] = self.ids[used]
        return Neighbours(ids, self.continues)


def neighbours(
    preprocess: Text,
    backbone: Backbone,
    used: NDArray[np.int64],
    most: int = MOST,
    least: float = LEAST,
) -> Neighbours:
    """Return the neighbours of the words among `used` token ids.

    A word is a token of letters that the tokenizer, given the word alone, gives back. What is near
    is measured in the table that the network reads its tokens with, where opposites may be near
    each other too: a substitution within the bound need not keep the meaning.
    """
    tokenizer = tokenizer_of(preprocess)
    table = embedding_of(backbone)
    device = next(table.parameters()).device
    with torch.no_grad():
        every = torch.arange(tokenizer.get_vocab_size(), device=device)
        vectors = table(every).detach().cpu()
    whole = torch.from_numpy(whole_words(tokenizer))
    unit = nn.functional.normalize(vectors.float(), dim=1)
    ids = torch.full((len(vectors), most), NONE, dtype=torch.long)
    asked = torch.from_numpy(np.intersect1d(used, whole.numpy()))
    for rows in asked.split(ROWS_AT_A_TIME):
        near = unit[rows] @ unit[whole].T
        near[rows[:, None] == whole[None, :]] = -1.0
        cosine, place = near.topk(min(most, len(whole)), dim=1)
        found = torch.where(cosine >= least, whole[place], NONE)
        ids[rows, : found.shape[1]] = found
    return Neighbours(ids, torch.from_numpy(_continuing(tokenizer)))


def tokenizer_of(preprocess: Text) -> Tokenizer:
    """Return the tokenizer of a preprocessing, which neither pads nor cuts."""
    tokenizer: Tokenizer = Tokenizer.from_buffer(preprocess.tokenizer)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def embedding_of(backbone: Backbone) -> nn.Module:
    """Return the module that turns token ids into embeddings."""
    encoder: Any = backbone.model
    table: nn.Module = encoder.get_input_embeddings()
    return table


def whole_words(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Return the ids of the tokens that are a word of letters on their own."""
    ids = np.arange(tokenizer.get_vocab_size())
    texts = [text.strip() for text in tokenizer.decode_batch([[int(i)] for i in ids])]
    fits = [i for i in ids if len(texts[i]) >= SHORTEST and texts[i].isalpha()]
    again = tokenizer.encode_batch_fast([f" {texts[i]}" for i in fits], add_special_tokens=False)
    kept = [i for i, one in zip(fits, again, strict=True) if one.ids == [i]]
    return np.asarray(kept, dtype=np.int64)


def _continuing(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Which tokens go on with a word: those with ``##``, or, in vocabularies that mark the start of
    a word, those of letters without that mark."""
    tokens = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    if any(token.startswith("##") for token in tokens):
        return np.array([token.startswith("##") for token in tokens])
    mark = next((m for m in STARTS if any(t.startswith(m) for t in tokens)), None)
    if mark is None:
        return np.zeros(len(tokens), dtype=np.bool_)
    return np.array([not token.startswith(mark) and token[:1].isalpha() for token in tokens])
