"""A recipe: which strategy with which parameters on which source. Plain data, so it can be kept,
compared, repeated and refitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metier.errors import OptionError, suggest
from metier.registry import find
from metier.types import Strategy


@dataclass(frozen=True)
class Recipe:
    """One way of making a specialist."""

    strategy: str
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Strategy:
        """Return the strategy. Raises OptionError for a parameter it does not have."""
        kind = find("strategies", self.strategy)
        known = [f.name for f in dataclasses.fields(kind)]
        for name in self.parameters:
            if name not in known:
                raise OptionError(
                    f"{self.strategy} has no parameter {name!r}{suggest(name, known)}"
                )
        built: Strategy = kind(**self.parameters)
        return built

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON."""
        return {
            "strategy": self.strategy,
            "source": self.source,
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        """Build a recipe from `to_json()`."""
        return cls(data["strategy"], data["source"], dict(data["parameters"]))


def settle(recipe: Recipe, notes: Sequence[Mapping[str, Any]]) -> Recipe:
    """Return the frozen recipe: what the fits on the folds found out (when to stop) is fixed.

    A strategy that finds something out while it fits says so with a method
    `settled(notes) -> parameters`.
    """
    strategy: Any = recipe.build()
    settled = getattr(strategy, "settled", None)
    if settled is None or not notes:
        return recipe
    return dataclasses.replace(recipe, parameters={**recipe.parameters, **settled(notes)})
