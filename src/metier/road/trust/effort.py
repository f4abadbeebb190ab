"""How much an explanation may ask the model, from the time there is."""

from __future__ import annotations

import time

import numpy as np

from metier.evidence.explanations.attribution import EVALUATIONS
from metier.evidence.explanations.faithful import ORDERS, POINTS
from metier.evidence.explanations.players import Game
from metier.search.clock import Clock

ROWS = 24
"""Rows that there should be time for."""
LEVELS = (EVALUATIONS, EVALUATIONS // 2, EVALUATIONS // 4)
"""How many coalitions may be asked about: in steps, so that a clock that is a little slower today
changes nothing and the same seed gives the same explanation."""
PROBE = 16


def evaluations_for(game: Game, methods: int, clock: Clock) -> int:
    """Return how many coalitions a method may ask about for one row.

    A few coalitions of the first row are timed. Few enough are then asked that about `ROWS` rows
    can be explained by every method, with the curves that measure them.
    """
    rng = np.random.default_rng(0)
    masks = rng.random((PROBE, len(game))) < 0.7
    game.margins(masks[:2])
    begun = time.perf_counter()
    game.margins(masks)
    each = (time.perf_counter() - begun) / PROBE
    if not np.isfinite(clock.left):
        return EVALUATIONS
    affordable = 0.7 * max(0.0, clock.left) / max(each, 1e-6) / ROWS
    curves = 2 * POINTS * (ORDERS + methods)
    own = (affordable - curves) / max(1, methods)
    return next((level for level in LEVELS if level <= own), LEVELS[-1])
