"""Ways of sharing a model's answer out among the players of a row, that need the answers only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import Array
from metier.evidence.explanations.players import Game, Masks

EVALUATIONS = 384
"""Coalitions that an explanation may ask about, when nothing else is said."""
TOLERANCE = 1e-3
"""How far shares that must sum to the output may miss it, as a share of how far it moves."""


@dataclass(frozen=True)
class Attribution:
    """What each player of a row has to do with the answer.

    Args:
        values: (players,) in the unit of `Game.margins`: above 0 speaks for the label.
        base, output: the value when nobody is there, and when everybody is.
        tolerance: how far the shares may be from summing to `output - base`, as a share of how far
            the answer moves; None for a method that promises no sum.
        pixels: (height, width), the shares of single pixels, from a method that has them.
    """

    values: Array
    base: float
    output: float
    tolerance: float | None = None
    pixels: Array | None = None

    @property
    def error(self) -> float:
        """How far the shares are from summing to what the answer moves by."""
        return float(abs(self.values.sum() - (self.output - self.base)))

    @property
    def holds(self) -> bool:
        """Whether the promise is kept: True for a method that makes none."""
        scale = max(1.0, abs(self.output - self.base))
        return self.tolerance is None or self.error <= self.tolerance * scale


class Explainer(Protocol):
    """One way of explaining. `drawn` says whether chance plays a part in it."""

    @property
    def name(self) -> str: ...
    @property
    def drawn(self) -> bool: ...

    def __call__(self, game: Game, seed: int = 0) -> Attribution: ...


def nobody(game: Game) -> Attribution:
    """Return the attribution of a row without players, an empty text: there is nothing to share."""
    output = float(game.margins(game.whole())[1])
    return Attribution(np.zeros(0), output, output)


@dataclass(frozen=True)
class Occlusion:
    """What the answer loses when one player is taken away (Zeiler & Fergus, 2014)."""

    name: str = "occlusion"
    drawn: bool = False

    def __call__(self, game: Game, seed: int = 0) -> Attribution:
        without = ~np.eye(len(game), dtype=bool)
        base, output, *rest = game.margins(np.concatenate([game.whole(), without]))
        return Attribution(output - np.array(rest), float(base), float(output))


@dataclass(frozen=True)
class Shap:
    """Shapley values: the mean of what a player adds, over the orders in which all may come
    (Lundberg & Lee, 2017).

    Few players: over all coalitions, so they are exact. Otherwise over random orders, each with its
    reverse (Mitchell et al., 2022, "Sampling permutations for Shapley value estimation"), which is
    exact where players act alone or in pairs. The values sum to the output in either case.
    """

    evaluations: int = EVALUATIONS
    name: str = "shap"
    drawn: bool = True

    def __call__(self, game: Game, seed: int = 0) -> Attribution:
        base, output = game.margins(game.whole()).tolist()
        if 2 ** len(game) <= self.evaluations:
            return Attribution(_exact(game), base, output, TOLERANCE)
        pairs = max(1, self.evaluations // (2 * len(game)))
        rng = np.random.default_rng(seed)
        found = [_of_orders(game, rng.permutation(len(game)), base, output) for _ in range(pairs)]
        return Attribution(np.mean(found, axis=0), base, output, TOLERANCE)


def _of_orders(game: Game, order: NDArray[np.int64], base: float, output: float) -> Array:
    """What each player adds when all come in an order, and in its reverse; the mean of both."""
    players = len(order)
    rank = np.empty(players, dtype=np.int64)
    rank[order] = np.arange(players)
    steps = np.arange(1, players)[:, None]
    there = np.concatenate([rank < steps, rank >= players - steps])
    values = game.margins(there).reshape(2, players - 1) if players > 1 else np.empty((2, 0))
    added = np.diff(values, prepend=base, append=output, axis=1)
    return np.asarray((added[0][rank] + added[1][players - 1 - rank]) / 2)


def _exact(game: Game) -> Array:
    """Shapley values from all coalitions."""
    players = len(game)
    codes = np.arange(2**players)
    masks = (codes[:, None] >> np.arange(players)) & 1 > 0
    values = game.margins(masks)
    sizes = masks.sum(axis=1)
    weights = np.array([1.0 / (players * math.comb(players - 1, size)) for size in range(players)])
    found = np.zeros(players)
    for player in range(players):
        without = codes[~masks[:, player]]
        added = values[without | (1 << player)] - values[without]
        found[player] = weights[sizes[without]] @ added
    return found


@dataclass(frozen=True)
class Lime:
    """The weights of a linear model of the coalitions near the row (Ribeiro et al., 2016).

    Coalitions are drawn at random, weigh less the more they leave out, and a ridge regression is
    fitted to the model's answers.

    Args:
        evaluations: how many coalitions are drawn.
        width: of the kernel, in cosine distance from the whole row.
        ridge: the penalty on the squared weights.
    """

    evaluations: int = EVALUATIONS
    width: float = 0.25
    ridge: float = 1.0
    name: str = "lime"
    drawn: bool = True

    def __call__(self, game: Game, seed: int = 0) -> Attribution:
        masks = draw_masks(len(game), self.evaluations, seed)
        values = game.margins(masks)
        base, output = game.margins(game.whole())
        weights = kernel(masks, self.width)
        return Attribution(
            fit_ridge(masks, values, weights, self.ridge), float(base), float(output)
        )


def draw_masks(players: int, count: int, seed: int) -> Masks:
    """Return `count` coalitions, the first of them everybody; the others of every size alike."""
    rng = np.random.default_rng(seed)
    order = rng.random((count, players)).argsort(axis=1)
    left_out = rng.integers(1, players + 1, count)
    left_out[0] = 0
    return np.asarray(order >= left_out[:, None])


def kernel(masks: Masks, width: float) -> Array:
    """Return how much each coalition counts: less, the further it is from the whole row.

    >>> kernel(np.array([[True, True], [False, False]]), 0.25).round(3).tolist()
    [1.0, 0.0]
    """
    distance = 1.0 - np.sqrt(masks.mean(axis=1))
    return np.asarray(np.sqrt(np.exp(-((distance / width) ** 2))))


def fit_ridge(masks: Masks, values: Array, weights: Array, penalty: float) -> Array:
    """Return the weights (players,) of a ridge regression whose intercept is free."""
    total = weights.sum()
    x = masks.astype(np.float64)
    x -= weights @ x / total
    y = values - weights @ values / total
    weighed = x * weights[:, None]
    return np.linalg.solve(weighed.T @ x + penalty * np.eye(x.shape[1]), weighed.T @ y)
