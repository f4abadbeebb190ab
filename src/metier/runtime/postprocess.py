"""From scores to answers: temperature, thresholds and labels, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.runtime.groups import GroupThresholds
from metier.runtime.preprocess import Columns

TaskKind = Literal["binary", "multiclass", "multilabel", "regression"]
Answer = str | float | list[str]


@dataclass(frozen=True)
class Decision:
    """How scores become probabilities and probabilities become answers.

    Args:
        kind: the shape of the answer.
        labels: label names in the order of the score columns; empty for regression.
        temperature: divides the logits (Guo et al., 2017, "On calibration of modern neural
            networks"); 1 leaves them as they are.
        thresholds: binary: one, on the probability of `labels[1]`; multi-label: one a label;
            empty means 0.5. For several classes: none, the likeliest wins.
        costs: multi-class and binary: `costs[i][j]` is what answering j costs when the truth is i;
            the answer with the lowest expected cost wins. Empty: all errors cost the same.
        isotonic: binary: knots (margin of the logits, calibrated log odds) of a rising line that
            takes the place of the temperature; beyond the ends its slope is 1 / temperature. Empty:
            the temperature alone.
        groups: binary: thresholds by group, which stand in for the common one in `at`; None for
            one rule for everybody.
        own: thresholds of rows, one each; `at` fills it in, and it is never stored.
    """

    kind: TaskKind
    labels: tuple[str, ...] = ()
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()
    costs: tuple[tuple[float, ...], ...] = ()
    isotonic: tuple[tuple[float, float], ...] = ()
    groups: GroupThresholds | None = None
    own: tuple[float, ...] = ()

    @property
    def common(self) -> float:
        """The threshold of a binary decision for whoever has none of their own: with costs the one
        from which on a positive answer is the cheaper one."""
        if self.costs:
            alarm, miss = self.dear
            return alarm / (alarm + miss) if alarm + miss > 0 else 0.5
        return self.thresholds[0] if self.thresholds else 0.5

    @property
    def dear(self) -> tuple[float, float]:
        """What a false alarm and a miss of a binary decision cost, beside the right answer."""
        if not self.costs:
            return 1.0, 1.0
        (right_no, alarm), (miss, right_yes) = self.costs
        return alarm - right_no, miss - right_yes

    def at(self, columns: Columns) -> Decision:
        """Return the decision for exactly these rows, in their order: each by its own group.

        The same decision where there are no groups.
        """
        if self.groups is None:
            return self
        return replace(self, own=tuple(self.groups.of(columns, self.common).tolist()))

    def probabilities(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return (n, outputs) probabilities; for regression the values themselves."""
        values = np.asarray(scores, dtype=np.float64)
        if self.kind == "regression":
            return values
        if self.isotonic:
            values = np.stack([np.zeros(len(values)), self._log_odds(values)], axis=1)
        else:
            values = values / self.temperature
        if self.kind == "multilabel":
            return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -700, 700))))
        values = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(values / values.sum(axis=1, keepdims=True))

    def _log_odds(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The calibrated log odds (n,) of the second label."""
        margins, known = np.asarray(self.isotonic).T
        given = values[:, 1] - values[:, 0]
        beyond = (given - np.clip(given, margins[0], margins[-1])) / self.temperature
        return np.asarray(np.interp(given, margins, known) + beyond)

    def choices(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Return decisions as numbers: label index (n,), 0/1 (n, labels), or values (n,)."""
        found = self.probabilities(scores)
        if self.kind == "regression":
            return found[:, 0]
        if self.kind == "multilabel":
            return (found >= np.asarray(self.thresholds or [0.5])).astype(np.int64)
        if self.own:
            if len(self.own) != len(found):
                raise ValueError(f"thresholds of {len(self.own)} rows for {len(found)} rows")
            return (found[:, 1] >= np.asarray(self.own)).astype(np.int64)
        if self.costs:
            return np.asarray((found @ np.asarray(self.costs)).argmin(axis=1))
        if self.kind == "binary" and self.thresholds:
            return (found[:, 1] >= self.thresholds[0]).astype(np.int64)
        return np.asarray(found.argmax(axis=1))

    def answers(self, scores: NDArray[Any]) -> list[Answer]:
        """Return answers in the user's own words: a label, a list of labels, or a number."""
        chosen = self.choices(scores)
        if self.kind == "regression":
            return [float(v) for v in chosen]
        if self.kind == "multilabel":
            return [[self.labels[j] for j in np.flatnonzero(row)] for row in chosen]
        return [self.labels[i] for i in chosen]

    def to_json(self) -> dict[str, Any]:
        """Return the decision as plain JSON."""
        knots = {"isotonic": [list(knot) for knot in self.isotonic]} if self.isotonic else {}
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "temperature": self.temperature,
            "thresholds": list(self.thresholds),
            "costs": [list(row) for row in self.costs],
            **knots,
            **({} if self.groups is None else {"groups": self.groups.to_json()}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Build a decision from `to_json()`."""
        return cls(
            kind=data["kind"],
            labels=tuple(data["labels"]),
            temperature=float(data["temperature"]),
            thresholds=tuple(float(t) for t in data["thresholds"]),
            costs=tuple(tuple(float(c) for c in row) for row in data["costs"]),
            isotonic=tuple((float(x), float(y)) for x, y in data.get("isotonic", ())),
            groups=GroupThresholds.from_json(data["groups"]) if data.get("groups") else None,
        )
