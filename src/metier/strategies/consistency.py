"""Consistency: unlabelled rows are answered alike whether or not they are changed a little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from metier.errors import ChainError, Pruned
from metier.space import Choice, Float, tune
from metier.training.around import (
    FormsInnerTakes,
    has_late_head,
    inner_of,
    learned_within,
    part_of,
    rows_for,
    without_stopping,
)
from metier.training.beside import Accompanied, Beside
from metier.training.objectives import Objective
from metier.training.start import feed_for, fresh_net
from metier.training.unlabelled.consistent import consistent, dropping
from metier.training.unlabelled.judged import judges
from metier.training.unlabelled.selftaught import gain_of
from metier.types import Form, Modality, Problem, Run, Specialist, Strategy, Table

NAME = "consistency"
FEW_STEPS = 32
"""Rows a step of a strategy that does not say."""


@dataclass(frozen=True)
class Consistency:
    """Let an inner strategy also answer changed unlabelled rows as it does unchanged ones.

    What it is sure of in a row is what it learns to say of the row with tokens, pixels or features
    left out (Sohn et al., 2020, with the soft thresholds of Chen et al., 2023). It runs all epochs
    of the inner strategy, and more when the unlabelled rows would not be gone through. Rows held
    out of the training rows say whether it feeds on its own errors: unless it leads by more than a
    standard error there, it is the inner strategy alone that comes out.

    Args:
        inner: what learns; finetune when None.
        weight: of the loss on unlabelled rows; with 0 they are not learned from.
        share: of a row that is left out.
        passes: over the unlabelled rows, at least.
        rows: unlabelled rows of a step.
        judged: hold rows out that say whether it helps; a frozen recipe knows.
        unlabeled: the rows without labels.

    Raises:
        ChainError: around what fits its head only when its features have learned.
    """

    inner: Strategy | None = None
    weight: float = tune(1.0, Float(0.1, 3.0, log=True))
    share: float = tune(0.2, Float(0.1, 0.5))
    passes: float = tune(1.0, Choice((1.0, 2.0)))
    rows: int = 32
    judged: bool = True
    unlabeled: Table | None = field(default=None, compare=False, repr=False)

    accepts = FormsInnerTakes("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __post_init__(self) -> None:
        if has_late_head(self.inner):
            raise ChainError(
                "consistency reads answers, and what it wraps has no head until its features have "
                "learned"
            )

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Learn from both, or from the labels alone where rows held out say so.

        Raises ChainError without unlabelled rows, and around what trains no network on the task.
        """
        unlabeled = rows_for(NAME, self.unlabeled, problem.train)
        inner = inner_of(self.inner, start.source.modality)
        if inner.gives != "net" or "source" not in inner.accepts:
            raise ChainError("consistency wraps what trains a network on the task")
        notes: dict[str, Any] = {"rows": len(unlabeled)}
        kept = self.weight > 0
        if kept and self.judged:
            kept, found = self._look(start, problem, unlabeled, run)
            notes |= found
        return self._fit(kept, start, problem, run, {NAME: {**notes, "kept": kept}})

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: whether it helps, and that the inner strategy's
        epochs are long enough."""
        own = [note[NAME]["kept"] for note in notes if NAME in note]
        kept = 2 * sum(own) >= len(own)
        return {"passes": 0.0, "judged": False, **({} if kept else {"weight": 0.0})}

    def _look(
        self, start: Specialist, problem: Problem, unlabeled: Table, run: Run
    ) -> tuple[bool, dict[str, Any]]:
        """Fit without some rows in both ways; whether those rows are then answered better by
        more than a standard error."""
        held = judges(start, problem, unlabeled, run)
        if isinstance(held, str):
            return False, {"reason": held}
        try:
            plain = self._fit(False, start, held.problem, part_of(run, 0.2, "plain"))
            both = self._fit(True, start, held.problem, part_of(run, 0.5, "both"))
        except Pruned:
            return False, {"reason": "there was no time for more than one fit"}
        before, after = (held.losses(made, run)[0] for made in (plain, both))
        gain = gain_of(before, after, held.weights, run.seed)
        return gain.clear, gain.told()

    def _fit(
        self,
        kept: bool,
        start: Specialist,
        problem: Problem,
        run: Run,
        notes: Mapping[str, Any] | None = None,
    ) -> Specialist:
        """What the inner strategy makes of the labelled rows, and of the others where they are
        kept."""
        if not kept:
            return learned_within(NAME, self, start, problem, run, notes or {})
        unlabeled = rows_for(NAME, self.unlabeled, problem.train)
        inner = without_stopping(inner_of(self.inner, start.source.modality))
        own = replace(self, inner=self._longer(inner, len(problem.train), len(unlabeled)))
        feed = feed_for(fresh_net(start, problem), unlabeled, run)
        wrap = self._wrapping(Beside(feed, self.rows, run.seed), problem)
        return learned_within(NAME, own, start, problem, run.with_objective(wrap), notes or {})

    def _wrapping(self, beside: Beside, problem: Problem) -> Callable[[Objective], Objective]:
        both = consistent(dropping(self.share), problem.task.kind, self.weight)
        return lambda inner: Accompanied(inner, beside, both)

    def _longer(self, inner: Strategy, labelled: int, unlabelled: int) -> Strategy:
        """The inner strategy with epochs enough to go through the unlabelled rows."""
        made: Any = inner
        own = {each.name for each in fields(made)}
        if "epochs" not in own:
            if getattr(made, "inner", None) is None:
                return inner
            wrapped: Strategy = replace(made, inner=self._longer(made.inner, labelled, unlabelled))
            return wrapped
        step = min(made.rows if "rows" in own else FEW_STEPS, labelled)
        needed = self.passes * (unlabelled / self.rows) * (step / max(labelled, 1))
        longer: Strategy = replace(made, epochs=max(made.epochs, needed))
        return longer
