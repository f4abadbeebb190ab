"""The rows that two models answer differently, and who of the two was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from metier.runtime.postprocess import Answer, Decision
from metier.types import Floats

Who = Literal["a", "b", "neither"]
WHO: tuple[Who, ...] = ("a", "b", "neither")
MOST_ROWS = 200
"""Rows that are shown with their inputs."""
WORDS = 300
"""Characters of an input that are shown."""


@dataclass(frozen=True)
class Differing:
    """A row that the two answer differently.

    `right` says who was right; for numbers, who came nearer.
    """

    row: int
    inputs: Mapping[str, str]
    truth: str
    a: str
    b: str
    right: Who


@dataclass(frozen=True)
class Both:
    """The answers of two models to the same rows.

    Args:
        truth: what `Task.encode` returns.
        scores: of a and of b, (n, outputs) each, columns in one order; NaN could not be read.
        decisions: of a and of b.
    """

    truth: NDArray[Any]
    scores: tuple[Floats, Floats]
    decisions: tuple[Decision, Decision]

    @property
    def _numeric(self) -> bool:
        return self.decisions[0].kind == "regression"

    @cached_property
    def right(self) -> NDArray[Any]:
        """One word a row: "same" where the answers are equal, else who was right (or nearer)."""
        if self._numeric:
            a, b = self._errors
            same = self.scores[0][:, 0] == self.scores[1][:, 0]
            return np.where(same, "same", np.where(a < b, "a", np.where(b < a, "b", "neither")))
        first, second = (_choices(*each) for each in self._each)
        pairs = ((first, second), (first, self.truth), (second, self.truth))
        same, a, b = (
            np.equal(one, other).reshape(len(self.truth), -1).all(axis=1) for one, other in pairs
        )
        return np.where(same, "same", np.where(a, "a", np.where(b, "b", "neither")))

    def counts(self) -> dict[str, int]:
        """How many rows have the `same` answer, and who was right on the others."""
        return {who: int((self.right == who).sum()) for who in ("same", *WHO)}

    def differing(
        self, numbers: NDArray[np.int64], inputs: Mapping[str, Sequence[Any]]
    ) -> tuple[Differing, ...]:
        """Return the rows most worth a look.

        Args:
            numbers: where each row stood in the data given.
            inputs: the columns that are shown.
        """
        order = self._order()[:MOST_ROWS]
        a, b = (_told(scores[order], decision) for scores, decision in self._each)
        return tuple(
            Differing(
                row=int(numbers[i]),
                inputs={name: _short(cells[i]) for name, cells in inputs.items()},
                truth=_truth(self.truth[i], self.decisions[0]),
                a=a[k],
                b=b[k],
                right=cast("Who", str(self.right[i])),
            )
            for k, i in enumerate(order.tolist())
        )

    @property
    def _each(self) -> list[tuple[Floats, Decision]]:
        return list(zip(self.scores, self.decisions, strict=True))

    @cached_property
    def _errors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far off each number is; what could not be read is infinitely far off."""
        off = [np.abs(own[:, 0].astype(np.float64) - self.truth) for own in self.scores]
        a, b = (np.where(np.isfinite(each), each, np.inf) for each in off)
        return a, b

    def _order(self) -> NDArray[np.int64]:
        """Rows that differ: one right before none right, within each the furthest apart first."""
        if self._numeric:
            a, b = self._errors
            apart = np.nan_to_num(np.abs(np.nan_to_num(a) - np.nan_to_num(b)))
        else:
            first, second = (rule.probabilities(np.nan_to_num(own)) for own, rule in self._each)
            apart = np.abs(first - second).max(axis=1)
        differ = np.flatnonzero(self.right != "same")
        order = np.lexsort((-apart[differ], self.right[differ] == "neither"))
        return np.asarray(differ[order], dtype=np.int64)


def _readable(scores: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(scores).all(axis=1), dtype=np.bool_)


def _choices(scores: Floats, decision: Decision) -> NDArray[Any]:
    """Decisions (n, ...), -1 where a row could not be read."""
    readable = _readable(scores)
    found = decision.choices(np.where(readable[:, None], scores, 0.0))
    found[~readable] = -1
    return found


def _told(scores: Floats, decision: Decision) -> list[str]:
    readable = _readable(scores)
    answers = decision.answers(np.where(readable[:, None], scores, 0.0)) if len(scores) else []
    return [
        written(answer) if can else "could not be read"
        for answer, can in zip(answers, readable.tolist(), strict=True)
    ]


def _truth(value: Any, decision: Decision) -> str:
    if decision.kind == "regression":
        return written(float(value))
    if decision.kind == "multilabel":
        return written([decision.labels[j] for j in np.flatnonzero(value)])
    return decision.labels[int(value)]


def written(answer: Answer) -> str:
    """Return an answer as text.

    >>> written(["a", "b"]), written([]), written(0.123456789)
    ('a, b', 'none', '0.123457')
    """
    if isinstance(answer, float):
        return f"{answer:.6g}"
    return ", ".join(answer) or "none" if isinstance(answer, list) else answer


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= WORDS else text[: WORDS - 1] + "…"
