"""Mixed columns: a source's frozen features beside numbers and categories."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

from metier.errors import ChainError
from metier.registry import find
from metier.sources.tabular import Tabular
from metier.training.fused import Fused, beside
from metier.training.start import feed_for, fresh_net
from metier.types import Form, Modality, Problem, Run, Specialist, Step, Strategy


def _boost() -> Strategy:
    found: Strategy = find("strategies", "boost")()
    return found


@dataclass(frozen=True)
class Fuse:
    """Let a strategy for tables see what a frozen text or image source sees.

    Args:
        inner: learns from the source's features and the other columns together.
    """

    inner: Strategy = field(default_factory=_boost)

    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "booster"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Compute features once, and let `inner` learn beside them.

        Raises ChainError when `inner` is no strategy for tables.
        """
        begun = time.monotonic()
        if "tabular" not in self.inner.modalities or "source" not in self.inner.accepts:
            name = type(self.inner).__name__.lower()
            raise ChainError(
                f"{name} cannot learn from a table from the start: use boost or linear"
            )
        net = fresh_net(start, problem)
        features = feed_for(net, problem.train, run).features()
        joined = Problem(problem.task, beside(problem.train, features))
        learned = self.inner(Specialist(Tabular(), problem.task), joined, run)
        if learned.model is None:
            raise ChainError("the inner strategy of fuse gave no model")
        inner = learned.lineage[-1]
        parameters = {"inner": {"strategy": inner.strategy, **inner.parameters}}
        notes = {**inner.notes, "features": features.shape[1]}
        step = Step("fuse", parameters, time.monotonic() - begun, notes)
        return start.then(Fused(net, learned.model), step)
