"""Strategies one after the other, as one strategy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from metier.errors import ChainError
from metier.types import Form, Modality, Problem, Run, Specialist, Strategy


@dataclass(frozen=True)
class Chain:
    """Apply strategies in order, each to what the one before it made.

    What cannot follow what is refused when the chain is composed, not after the first fit. A chain
    is a strategy, so chains nest.

    Args:
        steps: at least one strategy.

    Raises:
        ChainError: a step does not accept the form that the one before it gives, or no kind of
            input fits all steps.

    >>> from metier.strategies.finetune import Finetune
    >>> from metier.strategies.probe import Probe
    >>> Chain((Probe(), Finetune(train="top"))).gives
    'net'
    """

    steps: tuple[Strategy, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ChainError("a chain needs at least one strategy")
        for before, after in pairwise(self.steps):
            if before.gives not in after.accepts:
                taken = " or ".join(after.accepts) or "nothing"
                raise ChainError(
                    f"{_name(after)} cannot follow {_name(before)}: it takes {taken}, and "
                    f"{_name(before)} gives {before.gives}"
                )
        if not self.modalities:
            raise ChainError(
                f"no input fits all of {', '.join(_name(step) for step in self.steps)}"
            )

    @property
    def accepts(self) -> tuple[Form, ...]:
        """What the first step accepts."""
        return self.steps[0].accepts

    @property
    def gives(self) -> Form:
        """What the last step gives."""
        return self.steps[-1].gives

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The inputs that all steps are for."""
        first, *others = (step.modalities for step in self.steps)
        return tuple(kind for kind in first if all(kind in other for other in others))

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Apply all steps. Raises ChainError when `start` has a form the first does not take."""
        if start.form not in self.accepts:
            raise ChainError(
                f"{_name(self.steps[0])} takes {' or '.join(self.accepts)}, not {start.form}"
            )
        for number, step in enumerate(self.steps):
            folder = None if run.folder is None else run.folder / f"step-{number}"
            start = step(start, problem, run.in_folder(folder))
        return start


def _name(strategy: Strategy) -> str:
    return type(strategy).__name__.lower()
