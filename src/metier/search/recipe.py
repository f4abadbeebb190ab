"""A recipe: which strategy with which parameters on which source. Plain data, so it can be kept,
compared, repeated and refitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metier.search.wrapping import build, settled
from metier.strategies.chain import Chain
from metier.types import Specialist, Strategy


@dataclass(frozen=True)
class Then:
    """A strategy that goes on from what the one before it made."""

    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def build(self, given: Mapping[str, Any] | None = None) -> Strategy:
        """Return the strategy. Raises OptionError for a parameter it does not have."""
        return build(self.strategy, self.parameters, given)


@dataclass(frozen=True)
class Recipe:
    """One way of making a specialist: a strategy on a source, and what follows it."""

    strategy: str
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    then: tuple[Then, ...] = ()

    @property
    def called(self) -> str:
        """The strategies by name, first to last."""
        return " > ".join([self.strategy, *(step.strategy for step in self.then)])

    def build(self, given: Mapping[str, Any] | None = None) -> Strategy:
        """Return the strategy, or the chain of them.

        `given` are data that a recipe cannot hold, by the names of the fields that take them.

        Raises OptionError for a parameter that one does not have, and ChainError for a chain that
        cannot be.
        """
        first = build(self.strategy, self.parameters, given)
        return Chain((first, *(step.build(given) for step in self.then))) if self.then else first

    def followed_by(self, steps: Sequence[Then]) -> Recipe:
        """Return the recipe with further strategies after it."""
        return dataclasses.replace(self, then=(*self.then, *steps))

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON."""
        found: dict[str, Any] = {
            "strategy": self.strategy,
            "source": self.source,
            "parameters": dict(self.parameters),
        }
        if self.then:
            steps = [{"strategy": t.strategy, "parameters": dict(t.parameters)} for t in self.then]
            found["then"] = steps
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        """Build a recipe from `to_json()`."""
        then = tuple(Then(t["strategy"], dict(t["parameters"])) for t in data.get("then", ()))
        return cls(data["strategy"], data["source"], dict(data["parameters"]), then)


CHAIN = "chain"
"""Where the notes of a chain's fit keep those of its steps, first to last."""


def notes_of(made: Specialist) -> Mapping[str, Any]:
    """Return what a fit found out, as `settle` takes it: of one strategy, or of each in a chain."""
    notes = [step.notes for step in made.lineage]
    return {CHAIN: notes, **notes[0]} if len(notes) > 1 else next(iter(notes), {})


def settle(recipe: Recipe, notes: Sequence[Mapping[str, Any]]) -> Recipe:
    """Return the frozen recipe: what the fits on the folds found out (when to stop) is fixed.

    A strategy that finds something out while it fits says so with a method
    `settled(notes) -> parameters` (`wrapping.settled`).
    """
    by_step = [list(each.get(CHAIN, [each])) for each in notes]
    first = _settled(recipe.strategy, recipe.parameters, [own[0] for own in by_step])
    then = tuple(
        Then(t.strategy, _settled(t.strategy, t.parameters, [own[k] for own in by_step]))
        for k, t in enumerate(recipe.then, start=1)
    )
    return dataclasses.replace(recipe, parameters=first, then=then)


def _settled(
    name: str, parameters: Mapping[str, Any], notes: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    return settled(build(name, parameters), parameters, list(notes))
