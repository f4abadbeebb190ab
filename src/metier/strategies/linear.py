"""Linear models of tables: logistic regression for classes and labels, ridge for numbers."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import ClassVar

from metier.deploy.arrays import matrix
from metier.deploy.layers import Dense
from metier.deploy.linear import LinearModel
from metier.errors import DataError
from metier.space import Choice, tune
from metier.training.heads import bound_folds, fit_head
from metier.training.tables.columns import fit_scaled
from metier.types import Form, Modality, Problem, Run, Specialist, Step

LIMIT = 5.0
"""Standard deviations beyond which a number counts as this far only."""


@dataclass(frozen=True)
class Linear:
    """Weigh scaled numbers, indicators of categories and marks of missing cells.

    Args:
        strength: inverse regularisation; 0 chooses it by cross-validation within the training
            rows.
        balanced: weigh the rows so that every class weighs the same.
    """

    strength: float = tune(0.0, Choice((0.0, 0.1, 1.0, 10.0)))
    balanced: bool = False

    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "linear"
    modalities: ClassVar[tuple[Modality, ...]] = ("tabular",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Fit on the training rows. Raises DataError when no column can be used."""
        begun = time.monotonic()
        task, table = problem.task, problem.train
        targets = task.encode(table)
        preprocess = fit_scaled(table)
        if not preprocess.columns:
            raise DataError("the input columns hold no number, date or category to weigh")
        features = matrix(preprocess, table).clip(-LIMIT, LIMIT)
        head = fit_head(
            features,
            targets,
            task.kind,
            task.outputs,
            balanced=self.balanced,
            strength=self.strength or None,
            seed=run.seed,
            weights=table.weights,
            folds=bound_folds(table, targets, run.seed),
            deadline=run.deadline,
        )
        model = LinearModel(
            preprocess, Dense(head.weight.T.copy(), head.bias, "numbers", limit=LIMIT)
        )
        notes = {"strength": head.strength, "features": features.shape[1]}
        step = Step("linear", asdict(self), time.monotonic() - begun, notes)
        return start.then(model, step)
