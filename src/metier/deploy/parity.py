"""Does the exported graph predict what the model predicts?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.errors import ParityError
from metier.runtime.postprocess import Decision

TOLERANCE = 1e-4
"""Largest difference of a score, as a share of how far the scores lie apart."""
STEPS = 16
"""Steps of a float32 that a number may always differ by: processors add up in other orders."""
FLIPS = 1e-3
"""Share of rows (one row at least) whose answer may differ: within the tolerance, scores that are
all but equal can change places."""


@dataclass(frozen=True)
class Parity:
    """How closely two lots of scores for the same rows agree.

    Args:
        rows: rows that both could read.
        largest: the largest absolute difference of a score.
        tolerance: what it may be.
        agreement: the share of rows with the same answer.
    """

    rows: int
    largest: float
    tolerance: float
    agreement: float

    @property
    def holds(self) -> bool:
        """Whether the two predict the same."""
        flips = round((1 - self.agreement) * self.rows)
        return self.largest <= self.tolerance and flips <= max(1, FLIPS * self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the certificate that stands in the manifest."""
        return {
            "rows": self.rows,
            "largest_score_difference": self.largest,
            "tolerance": self.tolerance,
            "answer_agreement": self.agreement,
        }


def compare(model: NDArray[Any], graph: NDArray[Any], decision: Decision) -> Parity:
    """Compare scores (n, outputs) of the model with those of its graph.

    Rows that neither can read (NaN in both) are left out.

    Raises:
        ParityError: when the shapes differ, no row is left, or only one of the two can read a row.
    """
    ours, theirs = (np.asarray(v, dtype=np.float64) for v in (model, graph))
    if ours.shape != theirs.shape:
        raise ParityError(f"the model gives scores of shape {ours.shape}, its graph {theirs.shape}")
    readable, answered = (np.isfinite(v).all(axis=1) for v in (ours, theirs))
    if (readable != answered).any():
        row = int(np.flatnonzero(readable != answered)[0])
        raise ParityError(f"only one of the model and its graph gives finite scores for row {row}")
    if not readable.any():
        raise ParityError("there is no readable row to compare the model and its graph on")
    ours, theirs = ours[readable], theirs[readable]
    largest = float(np.abs(ours - theirs).max())
    tolerance = TOLERANCE * _spread(ours, decision)
    return Parity(
        rows=len(ours),
        largest=largest,
        tolerance=tolerance,
        agreement=_agreement(ours, theirs, decision, tolerance),
    )


def certify(model: NDArray[Any], graph: NDArray[Any], decision: Decision) -> Parity:
    """Compare and return the certificate. Raises ParityError when the two do not agree."""
    parity = compare(model, graph, decision)
    if not parity.holds:
        raise ParityError(
            f"the exported graph does not follow the model: scores differ by up to "
            f"{parity.largest:.3g} ({parity.tolerance:.3g} allowed) and "
            f"{parity.agreement:.2%} of {parity.rows} answers agree; no bundle was written"
        )
    return parity


def _spread(scores: NDArray[np.float64], decision: Decision) -> float:
    """The scale on which a difference counts: 1 for logits or what they spread over, if more."""
    if decision.kind != "regression":
        return max(1.0, float(np.ptp(scores)))
    finest = STEPS * float(np.finfo(np.float32).eps) / TOLERANCE
    return max(float(np.ptp(scores)), finest * float(np.abs(scores).max()), 1e-9)


def _agreement(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], decision: Decision, tolerance: float
) -> float:
    if decision.kind == "regression":
        return float((np.abs(ours - theirs)[:, 0] <= tolerance).mean())
    first, second = decision.choices(ours), decision.choices(theirs)
    return float(np.equal(first, second).reshape(len(ours), -1).all(axis=1).mean())
