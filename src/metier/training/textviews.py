"""Changing a text a little: words left out, swapped, cut, misspelt or replaced (as Wei and Zou,
2019, and the cut-offs of Shen et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Doses:
    """What share of the words is left out, swapped with the next, misspelt and replaced, and the
    share of a text that is cut out in one piece."""

    dropped: float
    swapped: float
    misspelt: float = 0.0
    replaced: float = 0.0
    cut: float = 0.0


DOSES: Mapping[str, Doses] = {
    "light": Doses(dropped=0.1, swapped=0.05),
    "strong": Doses(dropped=0.1, swapped=0.05, misspelt=0.05, replaced=0.15, cut=0.15),
}


def changed_text(
    text: str,
    random: np.random.Generator,
    strength: Literal["none", "light", "strong"],
    near: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return a text with some of its words changed; a text of one word stays.

    Args:
        text: words between spaces.
        random: decides which.
        strength: "none" changes nothing.
        near: words that may stand for a word; words are looked up in lower case.

    >>> changed_text("one", np.random.default_rng(0), "strong")
    'one'
    """
    words = text.split()
    if strength == "none" or len(words) < 2:
        return text
    doses = DOSES[strength]
    words = _cut(words, random, doses.cut)
    words = _replaced(words, random, doses.replaced, near or {})
    words = _misspelt(words, random, doses.misspelt)
    words = _swapped(words, random, doses.swapped)
    return " ".join(_dropped(words, random, doses.dropped))


def _dropped(words: list[str], random: np.random.Generator, share: float) -> list[str]:
    kept = random.random(len(words)) >= share
    if not kept.any():
        kept[int(random.integers(len(words)))] = True
    return [word for word, stays in zip(words, kept, strict=True) if stays]


def _swapped(words: list[str], random: np.random.Generator, share: float) -> list[str]:
    found = list(words)
    for place in np.flatnonzero(random.random(max(len(words) - 1, 0)) < share):
        found[place], found[place + 1] = found[place + 1], found[place]
    return found


def _cut(words: list[str], random: np.random.Generator, share: float) -> list[str]:
    length = int(share * len(words) * random.random() * 2)
    start = int(random.integers(len(words) - length + 1))
    return [*words[:start], *words[start + length :]]


def _misspelt(words: list[str], random: np.random.Generator, share: float) -> list[str]:
    hit = random.random(len(words)) < share
    return [
        _typo(word, random) if own and len(word) > 3 else word
        for word, own in zip(words, hit, strict=True)
    ]


def _typo(word: str, random: np.random.Generator) -> str:
    """Two letters change places, or one is left out or doubled; the first one stays."""
    place = int(random.integers(1, len(word) - 1))
    kind = int(random.integers(3))
    if kind == 0:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place] + word[place:]


def _replaced(
    words: list[str], random: np.random.Generator, share: float, near: Mapping[str, Sequence[str]]
) -> list[str]:
    hit = random.random(len(words)) < share
    found = []
    for word, own in zip(words, hit, strict=True):
        others = near.get(word.lower(), ()) if own else ()
        found.append(others[int(random.integers(len(others)))] if others else word)
    return found
