"""A smaller vocabulary, and a thinner table for what is left of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import ClassVar

import numpy as np

from metier.errors import ChainError
from metier.runtime.preprocess import Example
from metier.runtime.text import Text
from metier.space import Choice, Float, tune
from metier.training.compression.lexicon import Ids, Lexicon
from metier.training.compression.tokens import (
    factor_tokens,
    keep_tokens,
    same_scores,
    token_table,
)
from metier.training.net import NetModel
from metier.types import Form, Modality, Problem, Run, Specialist, Step

COMPARED = 32
"""Rows on which the smaller net has to say what the whole one says."""


@dataclass(frozen=True)
class Trim:
    """Keep the tokens that the task's language needs, and factor their table.

    Kept are the tokens of the training rows, all special tokens and characters, so that every word
    can still be spelt out, and the most frequent tokens of general language, because new texts have
    words that the training rows have not. How many of those is estimated from the training rows:
    a token that only one of them has would not have been known without that row (Good, 1953). Few
    rows, or rows of many words, therefore keep nearly everything.

    A text whose tokens are all kept has the same scores as before; a word that is gone is read in
    smaller pieces. Nothing is trained: let a short `finetune` or `distill` follow where much was
    cut.

    Args:
        gone: share of the tokens of new texts that may be gone, as it is estimated.
        least: how many training rows must have a token for it to be kept for that.
        rank: width of the factored table; 0 leaves it whole. The product is nearest to the table
            for the tokens that the training rows have most of.

    Raises:
        ChainError: for a net that reads no tokens, or a tokenizer of a kind that cannot be cut.
    """

    gone: float = tune(0.005, Float(0.001, 0.05, log=True))
    least: int = 1
    rank: int = tune(0, Choice((0, 64, 128)))
    accepts: ClassVar[tuple[Form, ...]] = ("net",)
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        model = start.model
        if not isinstance(model, NetModel) or not isinstance(model.preprocess, Text):
            raise ChainError(f"trim needs a net that reads text: {start.form} is none")
        before = token_table(model.net)
        read = model.preprocess
        encoded = read.encode(problem.train.columns())
        examples = [example for example in encoded.examples if example is not None]
        seen = _seen(examples, before.tokens)
        tokenizer, kept = self._chosen(Lexicon(read.tokenizer), seen, before.needed(read.pad_id))
        smaller = keep_tokens(model, tokenizer, kept)
        if not same_scores(model, smaller, problem.train.take(_all_kept(examples, kept))):
            raise ChainError(
                "trim cannot cut this network: it reads more from the numbers of its tokens than "
                "the rows of its table"
            )
        if self.rank:
            smaller = factor_tokens(smaller, self.rank, seen.times[kept])
        notes = {
            "tokens": len(kept),
            "of": before.tokens,
            "in_training": int((seen.rows > 0).sum()),
            "parameters": smaller.parameters,
        }
        return start.then(smaller, Step("trim", asdict(self), time.monotonic() - began, notes))

    def _chosen(self, lexicon: Lexicon, seen: Seen, needed: Ids) -> tuple[bytes, Ids]:
        """The tokenizer of the kept tokens, and their numbers."""
        known = np.concatenate([lexicon.indispensable, needed])
        general = _general(lexicon.by_frequency, seen.without(known), self.least, self.gone)
        own = np.flatnonzero(seen.rows >= self.least)
        return lexicon.cut(lexicon.closed(np.concatenate([known, own, general])))


@dataclass(frozen=True)
class Seen:
    """How often each token occurs, and in how many rows: (tokens,) both."""

    times: Ids
    rows: Ids

    def without(self, tokens: Ids) -> Seen:
        """The same, without some tokens."""
        left = ~np.isin(np.arange(len(self.times)), tokens)
        return Seen(self.times * left, self.rows * left)


def _seen(examples: Sequence[Example], tokens: int) -> Seen:
    texts = [np.concatenate(windows) for windows in examples]
    return Seen(
        np.bincount(np.concatenate(texts), minlength=tokens),
        np.bincount(np.concatenate([np.unique(text) for text in texts]), minlength=tokens),
    )


def _general(by_frequency: Ids, seen: Seen, least: int, gone: float) -> Ids:
    """The most frequent tokens of general language, as many as leave no more than the share `gone`
    of the training tokens unknown when their own row is left out."""
    # Whoever leaves out one row knows no more what `least` rows have.
    lonely = np.where(seen.rows <= least, seen.times, 0)[by_frequency]
    left = lonely.sum() - np.cumsum(lonely)
    allowed = gone * seen.times.sum()
    return by_frequency[: int((left > allowed).sum()) + 1]


def _all_kept(examples: Sequence[Example], kept: Ids) -> list[int]:
    """The first few rows that lost no token."""
    found = (
        row
        for row, windows in enumerate(examples)
        if all(np.isin(window, kept).all() for window in windows)
    )
    return list(islice(found, COMPARED))
