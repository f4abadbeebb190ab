"""Tables under attack: columns of cells, whose numbers are moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.robustness import blackbox
from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.curves import Broken, Rows
from metier.road.trust.attacked.inputs import SHOWN, Way, broken
from metier.runtime.postprocess import Decision
from metier.runtime.session import Bundle
from metier.types import Floats

if TYPE_CHECKING:
    from metier.training.net import NetModel

MANY = 200
"""Rows of a table that are attacked at once."""
REACHES = (0.1, 0.25, 0.5)
"""How far columns are moved, in their standard deviations."""


class Columns:
    """Tables as columns of cells."""

    gradients = False
    together = MANY

    def __init__(self, bundle: Bundle, rows: Rows, categories: tuple[str, ...]) -> None:
        self._bundle, self._categories = bundle, categories
        self._all = rows
        self._kept: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.shown = _reached(REACHES[0])

    def read(self, rows: Rows) -> tuple[dict[str, Sequence[Any]], NDArray[np.int64]]:
        return dict(rows.columns), np.arange(len(rows))

    def scores(self, columns: Mapping[str, Sequence[Any]]) -> Floats:
        return self._bundle.scores(columns)

    def ways(self, net: NetModel | None) -> list[Way]:
        numbers = [name for name, kind in self._all.kinds.items() if kind == "number"]
        if not numbers and not self._categories:
            return []
        return [self._way(share, numbers) for share in REACHES]

    def _way(self, share: float, numbers: Sequence[str]) -> Way:
        allowed = blackbox.reach(self._all.columns, numbers, share, self._categories)

        def nudged(columns: Mapping[str, Any], aim: Aim, seed: int) -> tuple[Any, float]:
            return blackbox.nudge(self.scores, columns, aim, allowed, seed=seed), 0.0

        fixed = "categories as they are"
        if self._categories:
            fixed = f"{', '.join(self._categories)} free to change"
        about = f"each number moved by at most {share:g} of its standard deviation, {fixed}"
        return Way(_reached(share), about, "columns", "scores", share, nudged)

    def keep(self, way: Way, rows: NDArray[np.int64], given: Any, moved: Any) -> None:
        if way.name == self.shown:
            for place, row in enumerate(rows.tolist()):
                pair = [{n: cells[place] for n, cells in each.items()} for each in (given, moved)]
                self._kept[row] = pair[0], pair[1]

    def examples(
        self,
        rows: Rows,
        chosen: NDArray[np.int64],
        fell: NDArray[np.bool_],
        scores: Floats,
        decision: Decision,
    ) -> tuple[Broken, ...]:
        answers, found = decision.answers(scores), []
        for place in np.flatnonzero(fell)[:SHOWN].tolist():
            row = int(chosen[place])
            before, after = self._kept[row]
            changed = [name for name in before if before[name] != after[name]]
            pair = (
                ", ".join(f"{n} {before[n]}" for n in changed),
                ", ".join(f"{n} {after[n]}" for n in changed),
            )
            found.append(broken(rows, row, decision, answers[place], pair, None))
        return tuple(found)


def _reached(share: float) -> str:
    return f"Columns moved by {share:g} sd"
