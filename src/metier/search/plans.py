"""Chains that make a finished specialist smaller, those that lose least first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from metier.errors import OptionError
from metier.registry import find
from metier.search.recipe import Then
from metier.strategies.chain import Chain
from metier.types import Form, Modality, Strategy, Table


@dataclass(frozen=True)
class Plan:
    """Strategies that are applied to a finished specialist, one after the other."""

    steps: tuple[Then, ...]

    @property
    def name(self) -> str:
        """The strategies with the parameters that are not their defaults."""
        return " > ".join(_called(step) for step in self.steps)

    def build(self, unlabeled: Table | None = None) -> Strategy:
        """Return the plan as one strategy; its steps that can learn from rows without labels get
        these. Raises ChainError for what cannot be."""
        steps: list[Any] = [step.build() for step in self.steps]
        if unlabeled is not None:
            steps = [_with_rows(step, unlabeled) for step in steps]
        return Chain(tuple(steps))

    @property
    def trains(self) -> bool:
        """Whether a step trains, which is what takes time."""
        return any(_has(step.build(), "epochs") for step in self.steps)

    @property
    def cuts(self) -> bool:
        """Whether a step leaves a smaller network: how large can be told before it is measured."""
        return bool(self.cutting)

    @property
    def cutting(self) -> tuple[Then, ...]:
        """The steps that leave a network, which may be a smaller one."""
        return tuple(step for step in self.steps if step.build().gives == "net")

    @property
    def ending(self) -> tuple[Then, ...]:
        """The steps that make a finished graph of it."""
        return self.steps[len(self.cutting) :]

    def outlines(self) -> tuple[Outline, ...]:
        """Return what leaves as large a network as the plan will, step by step, untrained."""
        found = []
        for number, step in enumerate(self.cutting, 1):
            built = step.build()
            name = Plan(self.steps[:number]).name
            found.append(Outline(name, _untrained(built), _has(built, "epochs")))
        return tuple(found)


@dataclass(frozen=True)
class Outline:
    """A step that cuts as much as ever and learns nothing.

    Args:
        name: of the plan up to this step.
        strategy: the step.
        few: whether a few rows do, since it is the training that reads them all.
    """

    name: str
    strategy: Any
    few: bool


TRIM = Then("trim")
INT8 = Then("quantize")
WEIGHTS = Then("quantize", {"mode": "weights"})
PRUNE = Then("prune", {"heads": 0.33})
SOME, FEWER, OWN = (Then("trim", {"gone": gone}) for gone in (0.02, 0.04, 1.0))
"""Far fewer tokens, down to those of the training rows. Texts of many words need nearly the whole
vocabulary to lose none; what it costs them to lose some is measured, not guessed. Before what
trains, which gets used to it. A factored table saved less for what it lost."""
NETS: dict[Modality, tuple[tuple[Then, ...], ...]] = {
    "text": (
        (INT8,),
        (TRIM, INT8),
        (SOME, INT8),
        (FEWER, INT8),
        (PRUNE, TRIM, INT8),
        (Then("distill", {"blocks": 0.67}), TRIM, INT8),
        (FEWER, PRUNE, INT8),
        (FEWER, Then("distill"), INT8),
        (OWN, PRUNE, INT8),
    ),
    "image": (
        (INT8,),
        (WEIGHTS,),
        (Then("prune"), INT8),
        (Then("prune", {"channels": 0.5}), INT8),
        (Then("prune", {"channels": 0.5}), WEIGHTS),
    ),
    "tabular": (),
}
"""What is tried on a net. The embedding of a text network is half of its weights, and its blocks
are the time it takes: so the vocabulary goes before the blocks do."""
GRAPHS = ((INT8,), (WEIGHTS,))
BOOSTERS = ((Then("thin"),),)


def plans(form: Form, modality: Modality, asked: Sequence[str] = ()) -> tuple[Plan, ...]:
    """Return what can be tried on a specialist of a form, cheap and gentle first.

    Args:
        form: of the finished specialist.
        modality: of its inputs.
        asked: names of strategies; only plans made of these are returned, and one that stands on
            no list is tried alone with its defaults.

    Raises:
        OptionError: for a strategy that is not known or cannot follow this form.
    """
    known = {"net": NETS[modality], "graph": GRAPHS, "booster": BOOSTERS}.get(form, ())
    found = tuple(Plan(steps) for steps in known)
    if not asked:
        return found
    for name in asked:
        _check(name, form, modality)
    chosen = [plan for plan in found if all(step.strategy in asked for step in plan.steps)]
    listed = {step.strategy for plan in chosen for step in plan.steps}
    return (*chosen, *(Plan((Then(name),)) for name in asked if name not in listed))


def _check(name: str, form: Form, modality: Modality) -> None:
    strategy = find("strategies", name)()
    if form not in strategy.accepts or modality not in strategy.modalities:
        raise OptionError(
            f"--strategy {name}: cannot make this specialist smaller; it works on "
            f"{' and '.join(strategy.modalities)} and takes {' or '.join(strategy.accepts)}, and "
            f"this is a {form} for {modality}"
        )


def _with_rows(step: Any, unlabeled: Table) -> Any:
    return replace(step, unlabeled=unlabeled) if _has(step, "unlabeled") else step


UNTRAINED = {"epochs": 0, "alpha": 0.0, "looks": 32}
"""Settings with which a step cuts as much as ever, and learns nothing."""


def _untrained(step: Any) -> Any:
    return replace(step, **{name: value for name, value in UNTRAINED.items() if _has(step, name)})


def _has(step: Any, name: str) -> bool:
    return any(field.name == name for field in fields(step))


def _called(step: Then) -> str:
    defaults = find("strategies", step.strategy)()
    told = ", ".join(
        f"{key}={value}"
        for key, value in step.parameters.items()
        if getattr(defaults, key) != value
    )
    return f"{step.strategy}({told})" if told else step.strategy
