"""Attacks that see nothing of a model but its scores: squares on pictures, steps in columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.robustness.aims import Aim
from metier.runtime.preprocess import is_missing
from metier.types import Floats

QUERIES = 200
"""Scores that the attack on pictures may ask for, a row."""
LARGEST = 0.3
"""Share of the picture that the first squares cover; they halve as the attack goes on."""
TRIES = (-1.0, 1.0, -0.5, 0.5)
"""Steps that are tried in each column, as shares of what is allowed."""
ROUNDS = 2


def square(
    answer: Callable[[Floats], Floats],
    pixels: Floats,
    aim: Aim,
    radius: float,
    *,
    queries: int = QUERIES,
    seed: int = 0,
) -> Floats:
    """Move random squares of pixels to the edge of the radius, and keep what hurts (Andriushchenko
    et al., 2020, "Square Attack").

    Args:
        answer: from pixels (n, 3, height, width), 0 to 1, to scores.
        pixels: the pictures.
        aim: what is wanted of each.
        radius: the most that any pixel may move.
        queries: passes over the rows that are still right.
        seed: where the random numbers start.

    Returns:
        The attacked pixels; of rows that were wrong already, the pixels as they are.
    """
    random = np.random.default_rng(seed)
    scores = answer(pixels)
    found, harm = pixels.copy(), aim.harm(scores)
    open_ = np.flatnonzero(~aim.wrong(scores))
    stripes = random.choice([-radius, radius], (len(pixels), 3, 1, pixels.shape[3]))
    trial = np.clip(pixels + stripes, 0, 1).astype(np.float32)[open_]
    for query in range(queries):
        if not len(open_):
            break
        scores, own = answer(trial), aim.take(open_)
        now, wrong = own.harm(scores), own.wrong(scores)
        better = wrong | (now > harm[open_])
        found[open_[better]], harm[open_[better]] = trial[better], now[better]
        open_ = open_[~wrong]
        trial = _with_square(
            found[open_], pixels[open_], radius, _side(query, queries, pixels), random
        )
    return found


def _side(query: int, queries: int, pixels: Floats) -> int:
    """The side of the next square, in pixels: large ones first."""
    halvings = np.searchsorted([0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8], query / queries)
    area = LARGEST / 2.0**halvings * pixels.shape[2] * pixels.shape[3]
    return int(np.clip(np.sqrt(area), 1, min(pixels.shape[2:]) - 1))


def _with_square(
    here: Floats, clean: Floats, radius: float, side: int, random: np.random.Generator
) -> Floats:
    """Put one square with a colour of its own at the edge of the radius into each picture."""
    found = here.copy()
    tall, wide = here.shape[2:]
    tops = random.integers(0, tall - side + 1, len(here))
    lefts = random.integers(0, wide - side + 1, len(here))
    signs = random.choice([-radius, radius], (len(here), 3, 1, 1))
    for row, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        part = np.s_[row, :, top : top + side, left : left + side]
        found[part] = np.clip(clean[part] + signs[row], 0, 1)
    return found


@dataclass(frozen=True)
class Reach:
    """How far an attack on a table may go in each column.

    Args:
        steps: number columns, each with the most that a value may change by.
        bounds: lowest and highest value of these columns; nothing leaves them.
        whole: those of them that hold whole numbers only.
        choices: category columns that may be changed, with the values that they may take.
    """

    steps: Mapping[str, float]
    bounds: Mapping[str, tuple[float, float]]
    whole: frozenset[str] = frozenset()
    choices: Mapping[str, tuple[Any, ...]] | None = None


def reach(
    columns: Mapping[str, Sequence[Any]],
    numbers: Sequence[str],
    share: float,
    categories: Sequence[str] = (),
    most: int = 12,
) -> Reach:
    """Return how far values may change: a share of the standard deviation of each column.

    Columns of `categories` may take any of their `most` commonest values; others are fixed.
    """
    steps, bounds, whole = {}, {}, set()
    for name in numbers:
        known = np.array([c for c in columns[name] if not is_missing(c)], dtype=np.float64)
        known = known[np.isfinite(known)]
        if len(known) < 2 or known.std() == 0:
            continue
        steps[name] = share * float(known.std())
        bounds[name] = float(known.min()), float(known.max())
        if (known == np.rint(known)).all():
            whole.add(name)
    choices = {name: _commonest(columns[name], most) for name in categories}
    return Reach(steps, bounds, frozenset(whole), choices)


def _commonest(cells: Sequence[Any], most: int) -> tuple[Any, ...]:
    counts: dict[Any, int] = {}
    for cell in cells:
        if not is_missing(cell):
            counts[cell] = counts.get(cell, 0) + 1
    return tuple(sorted(counts, key=lambda value: (-counts[value], str(value)))[:most])


def nudge(
    scores: Callable[[Mapping[str, Sequence[Any]]], Floats],
    columns: Mapping[str, Sequence[Any]],
    aim: Aim,
    allowed: Reach,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> dict[str, list[Any]]:
    """Change the columns of each row within reach, one after the other, and keep what hurts most.

    A greedy search by coordinates, in an order drawn anew each round. A missing cell stays missing.
    """
    random = np.random.default_rng(seed)
    found = {name: list(cells) for name, cells in columns.items()}
    first = scores(found)
    harm = aim.harm(first)
    open_ = np.flatnonzero(~aim.wrong(first))
    movable = [*allowed.steps, *(allowed.choices or {})]
    for _ in range(rounds):
        for name in random.permutation(np.asarray(movable, dtype=object)).tolist():
            if not len(open_):
                return found
            tries = [
                _tried(columns[name], open_, name, allowed, one) for one in _ways(name, allowed)
            ]
            tried, own = _scored(scores, found, name, tries, open_), aim.take(open_)
            wrong = np.array([own.wrong(each) for each in tried])
            now = np.array([own.harm(each) for each in tried])
            fell: NDArray[np.bool_] = np.logical_or.reduce(wrong)
            best = np.where(wrong | ~fell, now, -np.inf).argmax(axis=0)
            for place, row in enumerate(open_.tolist()):
                worst = now[best[place], place]
                if fell[place] or worst > harm[row]:
                    found[name][row], harm[row] = tries[best[place]][place], worst
            open_ = open_[~fell]
    return found


def _ways(name: str, allowed: Reach) -> Sequence[Any]:
    return TRIES if name in allowed.steps else (allowed.choices or {})[name]


def _tried(
    cells: Sequence[Any], rows: NDArray[np.int64], name: str, allowed: Reach, way: Any
) -> list[Any]:
    """The cells of some rows after one step away from what they are in the data."""
    if name not in allowed.steps:
        return [way] * len(rows)
    low, high = allowed.bounds[name]
    found: list[Any] = []
    for row in rows.tolist():
        cell = cells[row]
        if is_missing(cell):
            found.append(cell)
            continue
        step = way * allowed.steps[name]
        if name in allowed.whole:
            step = float(np.trunc(step))  # to the whole number inside the reach
        found.append(float(np.clip(float(cell) + step, min(low, cell), max(high, cell))))
    return found


def _scored(
    scores: Callable[[Mapping[str, Sequence[Any]]], Floats],
    found: Mapping[str, Sequence[Any]],
    name: str,
    tries: Sequence[Sequence[Any]],
    rows: NDArray[np.int64],
) -> list[Floats]:
    """The scores of some rows with each of the tries in one column, in one call."""
    many = {
        other: [cells[row] for row in rows.tolist()] * len(tries) for other, cells in found.items()
    }
    many[name] = [cell for each in tries for cell in each]
    return list(np.split(scores(many), len(tries)))
