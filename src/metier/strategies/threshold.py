"""After learning: a threshold for each group, on scores that stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from metier.errors import ChainError
from metier.evidence.fairness.groupcuts import fit_group_thresholds
from metier.runtime.groups import GroupColumn
from metier.runtime.postprocess import Decision
from metier.space import Float, tune
from metier.training.around import FormInnerGives, FormsInnerTakes, learned_within, sensitive_groups
from metier.types import Floats, Modality, Problem, Run, Specialist, Strategy, Table


@dataclass(frozen=True)
class Threshold:
    """Answer each group by a threshold of its own (Hardt et al., 2016, without their lottery).

    The inner strategy learns as it always does. What this one adds is a rule on top of its scores:
    `decided` fits it on rows that trained nothing, and it becomes data in the bundle. The sensitive
    columns are then needed to predict, which is why it is only used where that is allowed
    (`--allow-group-thresholds`). For two classes.

    Args:
        inner: what learns; boost for tables and finetune for the rest when None.
        limit: how far groups may lie apart on the rows that fit the thresholds.
        disparity: "parity": groups are answered positive equally often; "odds": equally often
            where it is true, and where it is not.
    """

    inner: Strategy | None = None
    limit: float = tune(0.02, Float(0.0, 0.1))
    disparity: Literal["parity", "odds"] = "odds"

    accepts = FormsInnerTakes("source", "net", "booster")
    gives = FormInnerGives()
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image", "tabular")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Let the inner strategy learn.

        Raises ChainError when no column is sensitive, or there are not two classes.
        """
        if problem.task.kind != "binary":
            raise ChainError("threshold is for two classes: use reweigh")
        sensitive_groups(problem.train, "threshold")
        return learned_within("threshold", self, start, problem, run, {})

    def decided(
        self, decision: Decision, scores: Floats, targets: NDArray[Any], table: Table
    ) -> Decision:
        """Return the decision with a threshold for each group.

        Args:
            decision: temperature and common threshold.
            scores: (n, 2) of rows that trained nothing.
            targets: (n,) what they truly are.
            table: these rows.
        """
        roles = table.roles
        columns = [GroupColumn(name, roles.cuts.get(name, ())) for name in roles.sensitive]
        cells = {name: table.frame[name].to_list() for name in roles.sensitive}
        readable = np.asarray(np.isfinite(scores).all(axis=1))
        kept = {n: [v for v, ok in zip(c, readable, strict=True) if ok] for n, c in cells.items()}
        return fit_group_thresholds(
            scores[readable], targets[readable], kept, columns, decision, self.disparity, self.limit
        )
