"""A row as players that can be there or not: the questions that black-box explanations ask.

A word of a text, a region of a picture and a column of a table are *players*. A coalition of them
is shown to the model in the model's own input: words that are absent are dropped, regions are out
of focus, columns have what other rows of the data hold. What the model then answers is the value of
the coalition, and an explanation is a way of sharing the value out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import Array
from metier.evidence.explanations.regions import Pixels, blur, segment
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Columns, is_missing
from metier.types import Floats, Kind

Masks = NDArray[np.bool_]
"""Coalitions, (masks, players): True where a player is there."""
Score = Callable[[Columns], Floats]
"""From columns to scores (n, outputs), as `Bundle.scores`."""

MOST_WORDS = 64
"""Players of one text; of a longer one neighbouring words go together."""
REGIONS = 36
AT_ONCE = 64
"""Coalitions of pictures that are made at a time, which bounds the memory."""
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
"""A run of letters and signs; where a language writes no spaces, each sign."""


@dataclass(frozen=True)
class Player:
    """What can be there or not.

    Args:
        column: the input column that it belongs to.
        kind: the kind of that column.
        name: what a person calls it: the word, the column, the number of the region.
        span: where a word stands in its cell, as (start, stop).
    """

    column: str
    kind: Kind
    name: str
    span: tuple[int, int] | None = None


class Part(Protocol):
    """The players of one input column."""

    @property
    def column(self) -> str: ...
    @property
    def players(self) -> tuple[Player, ...]: ...

    def cells(self, masks: Masks, draw: int) -> list[Any]:
        """The cell of each coalition (masks, own players); `draw` is the number of the stand-in."""
        ...


@dataclass(frozen=True)
class Text:
    """A text as words. Dropped ones leave no gap."""

    column: str
    text: str

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        found = [match.span() for match in _WORD.finditer(self.text)]
        together = -(-len(found) // MOST_WORDS) or 1
        groups = [found[i : i + together] for i in range(0, len(found), together)]
        return tuple((group[0][0], group[-1][1]) for group in groups)

    @property
    def players(self) -> tuple[Player, ...]:
        return tuple(
            Player(self.column, "text", self.text[start:stop], (start, stop))
            for start, stop in self.spans
        )

    def cells(self, masks: Masks, draw: int) -> list[Any]:
        if not self.spans:
            return [""] * len(masks)
        stops = [start for start, _ in self.spans[1:]] + [len(self.text)]
        pieces = [self.text[start:stop] for (start, _), stop in zip(self.spans, stops, strict=True)]
        return [
            "".join(piece for piece, there in zip(pieces, mask, strict=True) if there).rstrip()
            for mask in masks
        ]


@dataclass(frozen=True)
class Picture:
    """A picture as regions that follow its edges. Absent ones are out of focus.

    `pixels` are what the model sees, uint8 (height, width, 3).
    """

    column: str
    pixels: Pixels

    @cached_property
    def regions(self) -> NDArray[np.int64]:
        """The number of the region of each pixel, (height, width)."""
        return segment(self.pixels, REGIONS)

    @cached_property
    def _blurred(self) -> Pixels:
        return blur(self.pixels)

    @property
    def players(self) -> tuple[Player, ...]:
        count = int(self.regions.max()) + 1
        return tuple(Player(self.column, "image", f"region {i + 1}") for i in range(count))

    def cells(self, masks: Masks, draw: int) -> list[Any]:
        import PIL.Image

        return [
            PIL.Image.fromarray(np.where(mask[self.regions][..., None], self.pixels, self._blurred))
            for mask in masks
        ]


@dataclass(frozen=True)
class Cell:
    """One cell of a table row. Where it is absent, it holds what other rows hold."""

    column: str
    kind: Kind
    value: Any
    others: tuple[Any, ...]

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player(self.column, self.kind, self.column),)

    def cells(self, masks: Masks, draw: int) -> list[Any]:
        return [self.value if there else self.others[draw] for there in masks[:, 0]]


@dataclass(frozen=True)
class Target:
    """Which of a model's scores is explained.

    Args:
        decision: how scores become probabilities.
        which: the column of the scores.
        scale: for regression, what a difference of the value is measured in (the spread of the
            predictions).
    """

    decision: Decision
    which: int = 0
    scale: float = 1.0

    @property
    def label(self) -> str | None:
        """The label; None for regression."""
        return self.decision.labels[self.which] if self.decision.labels else None

    def margin(self, scores: NDArray[Any]) -> Array:
        """What is shared out, (n,): linear in the scores, so that trees and sums share it exactly.

        Two classes and several labels: the log-odds. More classes: the score less the mean of the
        others. Numbers: the value itself.
        """
        values = np.asarray(scores, dtype=np.float64)
        return np.asarray(values @ self.weights(values.shape[1]))

    def weights(self, outputs: int) -> Array:
        """What each score counts in the margin, (outputs,)."""
        found = np.zeros(outputs)
        if self.decision.kind in ("binary", "multiclass") and outputs > 1:
            found -= 1.0 / (outputs - 1)
        found[self.which] = 1.0
        return found if self.decision.kind == "regression" else found / self.decision.temperature

    def chance(self, scores: NDArray[Any]) -> Array:
        """What a person reads, (n,): the probability; for numbers the value in units of `scale`."""
        found = self.decision.probabilities(scores)[:, self.which]
        return np.asarray(found / self.scale if self.decision.kind == "regression" else found)


@dataclass(frozen=True)
class Game:
    """One row, its players, and what the model answers to a coalition of them.

    Args:
        row: the number of the row in the data given.
        parts: the input columns.
        score: the model.
        target: which score is explained.
        draws: how many stand-ins absent cells of a table have; the value is their mean.
    """

    row: int
    parts: tuple[Part, ...]
    score: Score
    target: Target
    draws: int = 1

    @cached_property
    def players(self) -> tuple[Player, ...]:
        return tuple(player for part in self.parts for player in part.players)

    def __len__(self) -> int:
        return len(self.players)

    def margins(self, masks: Masks) -> Array:
        """The value of each coalition, (masks,), on the scale that is shared out."""
        return self._mean(masks, self.target.margin)

    def chances(self, masks: Masks) -> Array:
        """The value of each coalition, (masks,), as a person reads it."""
        return self._mean(masks, self.target.chance)

    def whole(self) -> Masks:
        """Nobody, and everybody: (2, players)."""
        return np.array([[False], [True]]).repeat(len(self), axis=1)

    def _mean(self, masks: Masks, read: Callable[[Floats], Array]) -> Array:
        found = [read(self._scores(masks[i : i + AT_ONCE])) for i in range(0, len(masks), AT_ONCE)]
        each = np.concatenate(found).reshape(len(masks), self.draws)
        return np.asarray(each.mean(axis=1))

    def _scores(self, masks: Masks) -> Floats:
        """Scores of each coalition with each stand-in, (masks * draws, outputs)."""
        columns: dict[str, list[Any]] = {}
        start = 0
        for part in self.parts:
            stop = start + len(part.players)
            drawn = [part.cells(masks[:, start:stop], draw) for draw in range(self.draws)]
            columns[part.column] = [cell for each in zip(*drawn, strict=True) for cell in each]
            start = stop
        return self.score(columns)


def parts_of(
    columns: Columns,
    row: int,
    kinds: Mapping[str, Kind],
    others: Sequence[int],
    look: Callable[[Any], Pixels],
) -> tuple[Part, ...]:
    """Return the parts of one row.

    Args:
        columns: all rows, every input column of the model.
        row: the place of the row in them.
        kinds: the kind of each column.
        others: places of the rows that stand in for absent cells.
        look: from the cell of an image to what the model sees of it.
    """
    found: list[Part] = []
    for name, kind in kinds.items():
        value = columns[name][row]
        if kind == "text":
            found.append(Text(name, "" if is_missing(value) else str(value)))
        elif kind == "image":
            found.append(Picture(name, look(value)))
        else:
            stand_ins = tuple(columns[name][other] for other in others)
            found.append(Cell(name, kind, value, stand_ins))
    return tuple(found)
