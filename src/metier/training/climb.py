"""Finding the best rung of a ladder of values without trying them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def climb(
    values: Sequence[T], first: T, loss_of: Callable[[T], float], until: float | None = None
) -> T:
    """Return the value with the lowest loss, walking from `first` up while that helps, else down.

    Args:
        values: in order; neighbours are alike.
        first: one of them, where the walk begins.
        loss_of: what a value costs. Called once a value.
        until: a time.monotonic() instant after which no further value is tried.

    >>> climb((1, 2, 3, 4), 2, lambda v: (v - 3) ** 2)
    3
    """
    start = best = values.index(first)
    lowest = loss_of(first)
    for step in (1, -1):
        place = start + step
        while 0 <= place < len(values) and (until is None or time.monotonic() <= until):
            loss = loss_of(values[place])
            if not loss < lowest:
                break
            best, lowest = place, loss
            place += step
        if best != start:
            break
    return values[best]
