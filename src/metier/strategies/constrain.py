"""While learning: errors cost more where they set groups apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import polars as pl

from metier.data.sensitive import groups_of
from metier.data.vectors import plain_features
from metier.deploy.arrays import matrix
from metier.errors import ChainError
from metier.runtime.groups import joined
from metier.space import Float, tune
from metier.training.around import (
    FormInnerGives,
    FormsInnerTakes,
    has_late_head,
    inner_of,
    learned_within,
    sensitive_groups,
)
from metier.training.tables.columns import fit_scaled
from metier.training.weighing import weighed
from metier.types import Floats, Modality, Problem, Run, Specialist, Strategy, Table

if TYPE_CHECKING:
    from metier.training.objectives import Objective

LIMIT = 5.0
"""Standard deviations beyond which a number counts as this far only."""
PENALTY = 4.0
"""Weight of the penalty of networks at strength 1."""


@dataclass(frozen=True)
class Constrain:
    """Let an inner strategy learn under a constraint on how groups are answered.

    What learns from weighted rows (trees, linear models) gets the labels and weights of a reduction
    (Agarwal et al., 2018; multipliers by Fairlearn). Networks get a penalty on the distance between
    groups in each batch. Either way one plain model comes out. For two classes.

    Args:
        inner: what learns; boost for tables and finetune for the rest when None.
        strength: how hard the constraint presses; 1 is what a quick linear learner needs.
        disparity: "parity": groups are answered positive equally often; "odds": equally often
            where it is true, and where it is not.
    """

    inner: Strategy | None = None
    strength: float = tune(1.0, Float(0.1, 4.0, log=True))
    disparity: Literal["parity", "odds"] = "odds"

    accepts = FormsInnerTakes("source", "net")
    gives = FormInnerGives()
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image", "tabular")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Fit under the constraint.

        Raises:
            ChainError: when no column is sensitive, there are not two classes, or the answers to
                even out come from a head that is fitted only afterwards.
            MissingExtraError: without Fairlearn, for what learns from weighted rows.
        """
        if problem.task.kind != "binary":
            raise ChainError("constrain is for two classes: use reweigh")
        sensitive_groups(problem.train, "constrain")
        inner = inner_of(self.inner, start.source.modality)
        if has_late_head(inner):
            raise ChainError(
                "constrain evens out answers, and what it wraps has no head until its features "
                "have learned: use reweigh"
            )
        if inner.gives == "net":
            return learned_within(
                "constrain", self, start, problem, self._penalised(problem, run), {}
            )
        fairer, notes = self._reduced(problem, run)
        return learned_within("constrain", self, start, fairer, run, notes)

    def _penalised(self, problem: Problem, run: Run) -> Run:
        from metier.training.fairness.evened import Evened, codes_by_content

        table = problem.train
        codes = codes_by_content(table.digests, groups_of(table))

        def wrap(objective: Objective) -> Objective:
            return Evened(objective, codes, PENALTY * self.strength, self.disparity)

        return run.with_objective(wrap)

    def _reduced(self, problem: Problem, run: Run) -> tuple[Problem, dict[str, float]]:
        """The problem with the labels and weights under which a plain learner is a fairer one."""
        from metier.training.fairness.reductions import signed_weights

        table, task = problem.train, problem.task
        targets = task.encode(table)
        groups = joined(list(groups_of(table).values()))
        signed = signed_weights(
            _features(table),
            targets,
            groups,
            self.disparity,
            self.strength,
            run.seed,
            run.cache.memory.setdefault("multipliers", {}),
            run.deadline,
        )
        changed = (signed > 0).astype(np.int64)
        if len(np.unique(changed)) < 2:  # pressed so hard that one answer is left
            changed = targets
        notes = {"relabelled": float((changed != targets).mean())}
        return replace(
            problem, train=weighed(_relabelled(table, task.labels, changed), np.abs(signed))
        ), notes


def _features(table: Table) -> Floats:
    """What the quick learner reads."""
    if table.roles.modality != "tabular":
        return plain_features(table)
    preprocess = fit_scaled(table)
    if not preprocess.columns:
        return np.zeros((len(table), 1), dtype=np.float32)
    return matrix(preprocess, table).clip(-LIMIT, LIMIT)


def _relabelled(table: Table, labels: tuple[str, ...], codes: np.ndarray) -> Table:
    name = table.roles.target[0]
    column = pl.Series(name, [labels[code] for code in codes], dtype=pl.String)
    return replace(table, frame=table.frame.with_columns(column))
