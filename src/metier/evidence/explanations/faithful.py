"""How far an explanation can be believed: does the answer move with what it says matters?

Players are taken away from the row, those that matter most first (deletion), or put back into
nothing (insertion): a good explanation makes the answer fall, or rise, at once (Petsiuk et al.,
2018, "RISE"). The areas under both curves are set against those of players in random order, on the
same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from metier.evidence import bootstrap
from metier.evidence.answers import Array
from metier.evidence.explanations.attribution import Attribution
from metier.evidence.explanations.players import Game, Masks

POINTS = 13
"""Points of a curve, at most."""
ORDERS = 4
"""Random orders that stand for chance."""
RESAMPLES = 2000
TOP = 5
Order = NDArray[np.int64]
"""Players, the most important first."""
GRID = np.linspace(0.0, 1.0, POINTS)


@dataclass(frozen=True)
class Mean:
    """A mean over rows, its 95 % interval, and the p-value of it being 0."""

    value: float
    low: float
    high: float
    n: int
    p: float = 1.0


def mean_of(values: Sequence[float] | Array, seed: int = 0) -> Mean:
    """Return a mean with its bootstrap interval; an interval of no width for a single row is none.

    >>> mean_of([1.0, 1.0, 1.0]).low
    1.0
    """
    found = np.asarray(values, dtype=np.float64)
    n = len(found)
    if n < 2:
        value = float(found.mean()) if n else float("nan")
        return Mean(value, float("nan"), float("nan"), n)
    drawn = np.concatenate([found @ weights / n for weights in bootstrap.draws(n, RESAMPLES, seed)])
    low, high = bootstrap.percentiles(drawn, 0.95, n)
    value, error = float(found.mean()), float(found.std(ddof=1) / np.sqrt(n))
    p = float(2 * stdtr(n - 1, -abs(value) / error)) if error > 0 else float(value == 0)
    return Mean(value, min(low, value), max(high, value), n, p)


@dataclass(frozen=True)
class Curves:
    """What the answer is while players go and while they come, each (POINTS,) over `GRID`."""

    deletion: Array
    insertion: Array

    @property
    def areas(self) -> tuple[float, float]:
        """The areas under both curves."""
        return float(np.trapezoid(self.deletion, GRID)), float(np.trapezoid(self.insertion, GRID))


def curves_of(game: Game, orders: Sequence[Order]) -> list[Curves]:
    """Return the curves of several orders (each: players, most important first) of one row."""
    players = len(game)
    steps = np.unique(np.round(GRID * players).astype(int))
    masks = [_removed(order, steps, players) for order in orders]
    asked = np.concatenate([part for each in masks for part in (each, ~each)])
    values = game.chances(asked).reshape(len(orders), 2, len(steps))
    at = steps / players
    return [Curves(np.interp(GRID, at, gone), np.interp(GRID, at, come)) for gone, come in values]


def _removed(order: Order, steps: NDArray[np.int64], players: int) -> Masks:
    """Coalitions (steps, players) without the first players of an order."""
    rank = np.empty(players, dtype=np.int64)
    rank[order] = np.arange(players)
    return np.asarray(rank[None, :] >= steps[:, None])


def ranking(attribution: Attribution) -> Order:
    """Return the players in the order in which they speak for the label."""
    return np.argsort(-attribution.values, kind="stable").astype(np.int64)


def chance_curves(game: Game, seed: int) -> Curves:
    """Return the mean curves of players in random order."""
    rng = np.random.default_rng((seed, game.row))
    found = curves_of(game, [rng.permutation(len(game)) for _ in range(ORDERS)])
    return Curves(
        np.mean([each.deletion for each in found], axis=0),
        np.mean([each.insertion for each in found], axis=0),
    )


def gain_of(found: Curves, chance: Curves) -> float:
    """Return how much better than chance (or another explanation) an explanation of a row is: the
    mean of what the area under its deletion curve is smaller and under its insertion curve larger.
    """
    (gone, come), (gone_by_chance, come_by_chance) = found.areas, chance.areas
    return ((gone_by_chance - gone) + (come - come_by_chance)) / 2


@dataclass(frozen=True)
class Faithfulness:
    """What a method's explanations are worth on rows, against players in random order.

    Args:
        method: its name.
        gain: of both areas over chance, paired by row; above 0 is better than chance.
        deletion: how much smaller the area under the deletion curve is than by chance.
        insertion: how much larger the area under the insertion curve is.
        curves: the mean curves.
        chance: those of random orders.
    """

    method: str
    gain: Mean
    deletion: Mean
    insertion: Mean
    curves: Curves
    chance: Curves


def faithfulness(
    method: str, found: Sequence[Curves], chance: Sequence[Curves], seed: int = 0
) -> Faithfulness:
    """Set the curves of a method's explanations against those of chance, row by row."""
    areas = np.array([each.areas for each in found])
    drawn = np.array([each.areas for each in chance])
    gains = [gain_of(a, b) for a, b in zip(found, chance, strict=True)]
    return Faithfulness(
        method,
        mean_of(gains, seed),
        mean_of(drawn[:, 0] - areas[:, 0], seed),
        mean_of(areas[:, 1] - drawn[:, 1], seed),
        _mean_curves(found),
        _mean_curves(chance),
    )


def _mean_curves(found: Sequence[Curves]) -> Curves:
    return Curves(
        np.mean([each.deletion for each in found], axis=0),
        np.mean([each.insertion for each in found], axis=0),
    )


@dataclass(frozen=True)
class Stability:
    """How alike explanations of the same rows are when only chance differs.

    Args:
        ranks: the rank correlation of the attributions (Spearman), 1 when all is the same.
        top: the share of the five most important players that stay.
        drawn: whether chance plays a part at all.
    """

    ranks: Mean
    top: Mean
    drawn: bool


def stability(pairs: Sequence[tuple[Attribution, Attribution]], drawn: bool) -> Stability:
    """Compare two explanations of each of several rows; `drawn` says that chance plays a part."""
    values = [(one.values, other.values) for one, other in pairs]
    ranks = mean_of([_spearman(*pair) for pair in values])
    return Stability(ranks, mean_of([_overlap(*pair) for pair in values]), drawn)


def _spearman(a: Array, b: Array) -> float:
    from scipy.stats import rankdata

    first, second = (rankdata(each.round(9)) for each in (a, b))
    if first.std() == 0 or second.std() == 0:
        return float(np.array_equal(first, second))
    return float(np.corrcoef(first, second)[0, 1])


def _overlap(a: Array, b: Array) -> float:
    top = min(TOP, len(a))
    first, second = (set(np.argsort(-np.abs(each), kind="stable")[:top]) for each in (a, b))
    return len(first & second) / top
