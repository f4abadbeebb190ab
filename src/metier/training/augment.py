"""Several views of each row: what a change leaves of its meaning stays, and its label with it.

A view is decided by the content of a row and the number of the view, so that what a frozen part of
the network makes of it is computed once, as for the rows themselves (`metier.training.feed`). Which
view an epoch reads follows from the seed and the epoch, so that a fit can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.cache import fingerprint
from metier.runtime.text import Text
from metier.training.imageviews import changed_pixels
from metier.training.textviews import changed_text

if TYPE_CHECKING:
    from torch import Tensor

    from metier.training.feed import Feed

Augment = Literal["none", "light", "strong"]
VIEWS = 4
"""Views of a row when nobody says: the row itself and three changed ones."""


@dataclass(frozen=True)
class View:
    """One way to see all rows; number 0 is the rows as they are.

    Args:
        number: of the view.
        strength: how much is changed.
        near: words that may stand for a word.
    """

    number: int
    strength: Augment
    near: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """What names the view wherever its rows are kept."""
        return fingerprint(self.number, self.strength, sorted(self.near.items()))

    def columns(
        self, columns: Mapping[str, Any], names: Sequence[str], digests: NDArray[np.uint64]
    ) -> dict[str, Any]:
        """Return columns with the texts in some of them changed."""
        found = dict(columns)
        for place, name in enumerate(names):
            found[name] = [
                text
                if text is None
                else changed_text(str(text), self._random(digest, place), self.strength, self.near)
                for text, digest in zip(columns[name], digests.tolist(), strict=True)
            ]
        return found

    def pixels(self, pixels: NDArray[np.uint8], digest: int) -> NDArray[np.uint8]:
        """Return the changed picture, uint8 (height, width, 3)."""
        return changed_pixels(pixels, self._random(digest, 0), self.strength)

    def _random(self, digest: int, place: int) -> np.random.Generator:
        return np.random.default_rng((digest, self.number, place))


class Views:
    """The rows of a feed with changed views of them, in place of the feed in the training loop.

    Sizes and names are those of the rows themselves: batches are the same whatever view is read.

    Args:
        feeds: the rows as they are, then one feed a view.
        seed: of the order in which epochs read them.
    """

    def __init__(self, feeds: Sequence[Feed], seed: int) -> None:
        self.feeds, self.seed = feeds, seed

    def __len__(self) -> int:
        return len(self.feeds[0])

    @property
    def digests(self) -> NDArray[np.uint64]:
        """What names each row by its own content, whatever view is read."""
        return self.feeds[0].digests

    @property
    def costs(self) -> NDArray[np.int64]:
        """What each row as it is costs in a batch."""
        return self.feeds[0].costs

    @property
    def budget(self) -> int:
        """The cost that a batch without gradients may have."""
        return self.feeds[0].budget

    @property
    def portion(self) -> int:
        """The cost of what goes through the network at once."""
        return self.feeds[0].portion

    def tokens(self) -> NDArray[np.int64]:
        """All distinct token ids of all views."""
        return np.unique(np.concatenate([feed.tokens() for feed in self.feeds]))

    def prepare(self, at: int) -> int:
        """Compute what lies below a boundary once a view; the boundary to enter at."""
        return min(feed.prepare(at) for feed in self.feeds)

    def seen_in(self, epoch: int) -> Feed:
        """Return the view that an epoch reads: each once before one comes again."""
        turn, place = divmod(epoch, len(self.feeds))
        order = np.random.default_rng((self.seed, turn, 2)).permutation(len(self.feeds))
        return self.feeds[int(order[place])]

    def inputs(self, rows: NDArray[np.int64], light: bool = False) -> dict[str, Tensor]:
        """The inputs of some rows as they are."""
        return self.feeds[0].inputs(rows, light)

    def hidden(self, rows: NDArray[np.int64], at: int) -> Tensor | None:
        """The activations of some rows as they are."""
        return self.feeds[0].hidden(rows, at)


def augmented(feed: Feed, strength: Augment, views: int, seed: int) -> Feed | Views:
    """Return a feed with changed views of its rows; the feed itself for "none"."""
    if strength == "none" or views < 2:
        return feed
    near = _near_words(feed) if strength == "strong" else {}
    others = [feed.seen_as(View(number, strength, near)) for number in range(1, views)]
    return Views([feed, *others], seed)


def _near_words(feed: Feed) -> dict[str, tuple[str, ...]]:
    """Which words of these texts may stand for each other in the source's own embeddings."""
    from metier.training.neighbours import NONE, neighbours, tokenizer_of

    preprocess = feed.preprocess
    if not isinstance(preprocess, Text):
        return {}
    used = feed.tokens()
    known = neighbours(preprocess, feed.backbone, used)
    tokenizer = tokenizer_of(preprocess)

    def word(token: int) -> str:
        return str(tokenizer.decode([token])).strip()

    found = {}
    for token in used.tolist():
        near = [n for n in known.ids[token].tolist() if n != NONE]
        if near:
            found[word(token)] = tuple(word(n) for n in near)
    return found
