"""Games whose shares are known: texts of single letters, scored by a rule instead of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metier.evidence.explanations.players import Game, Target, Text
from metier.runtime.postprocess import Decision

VALUE = Target(Decision("regression"))
Rule = Callable[[set[str]], float]


def game(letters: str, rule: Rule, row: int = 0, target: Target = VALUE) -> Game:
    """A row whose players are letters; `rule` says what a set of letters scores."""

    def score(columns: Any) -> Any:
        return np.array([[rule(set(text.split()))] for text in columns["text"]], dtype=np.float64)

    return Game(row, (Text("text", " ".join(letters)),), score, target)


def weighed(**weights: float) -> Rule:
    """Each letter adds its weight."""
    return lambda there: sum(weight for letter, weight in weights.items() if letter in there)


def tangled(there: set[str]) -> float:
    """Letters that act alone, in a pair and in a three."""
    alone = 2.0 * ("a" in there) - 1.0 * ("b" in there)
    return alone + 3.0 * ({"a", "c"} <= there) - 1.5 * ({"b", "c", "d"} <= there)
