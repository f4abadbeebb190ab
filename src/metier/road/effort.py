"""How much an explanation may ask the model, from the time there is."""

from __future__ import annotations

import time

import numpy as np

from metier.evidence.attribution import EVALUATIONS
from metier.evidence.faithful import ORDERS, POINTS
from metier.evidence.players import Game
from metier.search.clock import Clock

ROWS = 24
"""Rows that there should be time for."""
LEAST = 96
PROBE = 16


def evaluations_for(game: Game, methods: int, clock: Clock) -> int:
    """Return how many coalitions a method may ask about for one row.

    A few coalitions of the first row are timed. Few enough are then asked that about `ROWS` rows
    can be explained by every method, with the curves that measure them; never fewer than one
    random order of the players needs to say something.
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
    return int(np.clip((affordable - curves) / max(1, methods), LEAST, EVALUATIONS))
