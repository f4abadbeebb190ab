"""Answering only when sure enough: from which confidence on so few answers are wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import OptionError
from metier.runtime.postprocess import Decision
from metier.runtime.ranked import Doubles
from metier.runtime.shares import check_share

CHANCE = 0.05
"""How often a step may promise what it does not keep."""


@dataclass(frozen=True)
class Step:
    """Answers at least this confident: what share of rows they are, and of them how many are wrong.

    `bound` is the highest share of errors that calibration rows do not contradict at 95 %.
    """

    confidence: float
    answered: float
    error: float
    bound: float


@dataclass(frozen=True)
class Selective:
    """Steps from the surest answers to all of them, on `rows` calibration rows, of which `alike`
    say as much as one that is independent of the others."""

    steps: tuple[Step, ...]
    rows: int
    alike: float = 1.0

    def least(self, max_error: float) -> Step:
        """Return the last step before one that may have more errors than `max_error`.

        Steps are tested in a fixed order and the first that fails ends it, so no correction for
        many tests is needed: the error is kept in 95 of 100 calibrations (Geifman & El-Yaniv,
        2017; Angelopoulos et al., 2021, "Learn then test"). The order begins with the first step
        that has rows enough to pass without any error.

        Raises:
            OptionError: when `max_error` is no share, or not even the surest answers keep it.
        """
        check_share("--max-error", max_error, 0.05)
        found = self._last(max_error)
        if found is None:
            why = "so few errors"
            if self.steps and all(self._too_few(step, max_error) for step in self.steps):
                why = "so few errors, not even without a wrong answer among them"
            least = self.fewest
            mend = f"ask for {least:g}" if least else "its answers are too often wrong"
            raise OptionError(
                f"--max-error {max_error:g}: {self.rows:,} calibration rows cannot promise {why}; "
                f"{mend}"
            )
        return found

    @property
    def fewest(self) -> float | None:
        """The smallest share of errors that can be promised, to three digits; None for none."""
        told = sorted(math.ceil(1000 * step.bound) / 1000 for step in self.steps)
        return next((each for each in told if each < 1 and self._last(each)), None)

    def _last(self, max_error: float) -> Step | None:
        found = None
        for step in self.steps:
            if found is None and self._too_few(step, max_error):
                continue
            if step.bound > max_error:
                break
            found = step
        return found

    def _too_few(self, step: Step, max_error: float) -> bool:
        """Whether a step has too few rows to promise so few errors, even if it had none.

        It is known from the number of rows alone, not from what was wrong.
        """
        rows = max(1, round(step.answered * self.rows / self.alike))
        return 1.0 - math.pow(CHANCE, 1.0 / rows) > max_error

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        steps = [[s.confidence, s.answered, s.error, s.bound] for s in self.steps]
        alike = {"alike": self.alike} if self.alike > 1 else {}
        return {"rows": self.rows, "steps": steps, **alike}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Selective:
        """Build it from `to_json()`. Raises KeyError, TypeError or ValueError."""
        steps = tuple(Step(*(float(value) for value in step)) for step in data["steps"])
        return cls(steps, int(data["rows"]), float(data.get("alike", 1.0)))


def confidence(scores: NDArray[Any], decision: Decision) -> Doubles:
    """Return how sure each answer (n,) is: the probability that it is given.

    Several labels: of the label whose presence or absence is least sure.
    """
    shares = decision.probabilities(scores)
    chosen = decision.choices(scores)
    if decision.kind == "multilabel":
        return np.asarray(np.where(chosen > 0, shares, 1 - shares).min(axis=1, initial=1.0))
    return np.asarray(shares[np.arange(len(shares)), chosen])
