"""What matters over many rows: explanations of single rows, taken together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metier.evidence.answers import Array
from metier.evidence.explanations.attribution import Attribution
from metier.evidence.explanations.faithful import Mean, mean_of
from metier.evidence.explanations.players import Game, Part, Picture, Player

CELLS = 8
"""Rows and columns of the grid over which regions of pictures are taken together."""
FEWEST = 3
"""Rows in which a word must stand to be told of."""
MOST = 15


@dataclass(frozen=True)
class Importance:
    """What a word or a column has to do with answers.

    Args:
        name: the word or column.
        label: of which answers; None for all.
        size: the mean absolute attribution over the rows that have it.
        toward: the mean attribution: above 0 speaks for the label.
    """

    name: str
    label: str | None
    size: Mean
    toward: float


@dataclass(frozen=True)
class Area:
    """Where in pictures answers come from: the mean absolute attribution of each cell of a grid,
    (CELLS, CELLS), over n rows; its cells sum to 1."""

    label: str | None
    cells: Array
    n: int


@dataclass(frozen=True)
class Overall:
    """What matters over the rows, for all answers and for each."""

    importances: tuple[Importance, ...]
    areas: tuple[Area, ...]
    n: int


Explained = tuple[Game, Attribution]


def overall(found: Sequence[Explained]) -> Overall:
    """Take the explanations of rows together."""
    labels = sorted({game.target.label for game, _ in found if game.target.label is not None})
    importances: list[Importance] = []
    areas: list[Area] = []
    for label in (None, *labels) if len(labels) > 1 else (None,):
        own = [each for each in found if label is None or each[0].target.label == label]
        importances += _importances(own, label)
        if any(isinstance(part, Picture) for game, _ in own for part in game.parts):
            areas.append(_area(own, label))
    return Overall(tuple(importances), tuple(areas), len(found))


def _importances(found: Sequence[Explained], label: str | None) -> list[Importance]:
    rows: dict[str, list[float]] = defaultdict(list)
    for game, attribution in found:
        for name, value in _by_name(game.players, attribution.values).items():
            rows[name].append(value)
    fewest = min(FEWEST, len(found))
    kept = {name: np.array(values) for name, values in rows.items() if len(values) >= fewest}
    made = [
        Importance(name, label, mean_of(np.abs(values)), float(values.mean()))
        for name, values in kept.items()
    ]
    return sorted(made, key=lambda each: -each.size.value)[:MOST]


def _by_name(players: Sequence[Player], values: Array) -> Mapping[str, float]:
    """The attribution of each word (in small letters) and column of one row; no regions."""
    found: dict[str, float] = defaultdict(float)
    for player, value in zip(players, values, strict=True):
        if player.kind == "text":
            words = [word for each in player.name.split() if (word := plain(each))]
            for word in words:
                found[word] += float(value) / len(words)
        elif player.kind != "image":
            found[player.name] += float(value)
    return found


def plain(word: str) -> str:
    """Return a word without the signs around it, in small letters.

    >>> plain('"Delightful,'), plain("--")
    ('delightful', '')
    """
    start, stop = 0, len(word)
    while start < stop and not word[start].isalnum():
        start += 1
    while stop > start and not word[stop - 1].isalnum():
        stop -= 1
    return word[start:stop].lower()


def _area(found: Sequence[Explained], label: str | None) -> Area:
    cells = np.zeros((CELLS, CELLS))
    for game, attribution in found:
        start = 0
        for part in game.parts:
            stop = start + len(part.players)
            if isinstance(part, Picture):
                cells += _on_grid(part, attribution.values[start:stop])
            start = stop
    total = cells.sum()
    return Area(label, cells / total if total > 0 else cells, len(found))


def spread(part: Part, values: Array) -> Array:
    """Return the attribution of each pixel of a picture, that of a region spread evenly over it."""
    assert isinstance(part, Picture)
    sizes = np.bincount(part.regions.ravel(), minlength=len(values))
    return np.asarray((values / np.maximum(sizes, 1))[part.regions])


def _on_grid(part: Picture, values: Array) -> Array:
    """The absolute attribution in each cell of the grid; all cells sum to 1."""
    pixels = np.abs(spread(part, values))
    rows, columns = (np.arange(side) * CELLS // side for side in pixels.shape)
    cells = np.zeros((CELLS, CELLS))
    np.add.at(cells, (rows[:, None], columns[None, :]), pixels)
    total = cells.sum()
    return np.asarray(cells / total if total > 0 else cells)
