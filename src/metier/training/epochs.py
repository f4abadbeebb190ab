"""Where the epochs of a fit begin and end, in steps: each cuts the rows in its own way."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Batches = Callable[[int], list[NDArray[np.int64]]]
"""The batches of an epoch, always the same ones for the same epoch."""


class Epochs:
    """Counts steps into epochs.

    Where a budget of tokens cuts the batches, or a strategy deals them, one epoch may have more of
    them than the next.

    Args:
        batches: of an epoch.
        alike: whether all epochs have as many.
    """

    def __init__(self, batches: Batches, alike: bool) -> None:
        self.batches, self._alike = batches, alike
        self._ends = [0]

    def length(self, epoch: int) -> int:
        """The number of batches of an epoch."""
        return self._end(epoch + 1) - self._end(epoch)

    def steps(self, epochs: float) -> int:
        """The steps of so many epochs, at least one.

        >>> Epochs(lambda epoch: [np.arange(2)] * (epoch + 1), alike=False).steps(2.5)
        5
        """
        whole = int(epochs)
        part = epochs - whole
        return max(1, self._end(whole) + (round(part * self.length(whole)) if part else 0))

    def left_in(self, step: int) -> tuple[int, list[NDArray[np.int64]]]:
        """The epoch that a step falls into, and its batches from there on."""
        epoch = self._begun(step + 1)
        return epoch, self.batches(epoch)[step - self._end(epoch) :]

    def done(self, steps: int) -> float:
        """The epochs that so many steps are."""
        epoch = self._begun(steps)
        return epoch + (steps - self._end(epoch)) / self.length(epoch)

    def ends_at(self, steps: int) -> bool:
        """Whether an epoch ends after so many steps."""
        return self._end(self._begun(steps) + 1) == steps

    def _begun(self, steps: int) -> int:
        """The epoch that the last of so many steps, one or more, belongs to."""
        while self._ends[-1] < steps:
            self._end(len(self._ends))
        return max(bisect_left(self._ends, steps) - 1, 0)

    def _end(self, epochs: int) -> int:
        """The steps of so many whole epochs."""
        while len(self._ends) <= epochs:
            number = len(self._ends) - 1
            known = self._alike and number > 0
            self._ends.append(
                self._ends[-1] + (self._ends[1] if known else len(self.batches(number)))
            )
        return self._ends[epochs]
