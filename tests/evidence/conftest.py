"""Rows of two groups of which one is served worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from metier.evidence.answers import Answers, answers_of
from metier.runtime.postprocess import Decision


@dataclass(frozen=True)
class Uneven:
    """Truth, scores and answers of rows, and the group of each."""

    truth: NDArray[np.int64]
    scores: NDArray[np.float64]
    sex: list[str]

    @property
    def answers(self) -> Answers:
        return answers_of(self.truth, self.scores, Decision("binary", ("no", "yes")))


@pytest.fixture
def uneven() -> Uneven:
    """The positives of `f` are found half as often as those of `m`; `x` has few rows."""
    random = np.random.default_rng(0)
    sex = random.choice(["f", "m", "x"], 1500, p=[0.45, 0.5, 0.05])
    truth = (random.random(1500) < np.where(sex == "f", 0.3, 0.5)).astype(np.int64)
    margin = np.where(truth > 0, np.where(sex == "f", 0.0, 1.2), -1.2) + random.normal(size=1500)
    scores = np.stack([np.zeros(1500), margin], axis=1)
    return Uneven(truth, scores, sex.tolist())
