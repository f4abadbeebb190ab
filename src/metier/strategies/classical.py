"""No transfer: counted words or measured colours and edges under a linear model."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from metier.deploy.arrays import matrix
from metier.deploy.layers import Dense, Terms
from metier.deploy.linear import LinearModel
from metier.errors import DataError
from metier.runtime.histograms import Histograms
from metier.space import Choice, tune
from metier.threads import few_threads
from metier.training.folds import inner_folds
from metier.training.heads import bound_folds, choosing_until, fit_head, refuse_late
from metier.training.terms import fit_terms, fit_vocabulary
from metier.types import Form, Modality, Problem, Run, Specialist, Step, Table

MANY_ROWS = 2000
"""From this many rows on, one part set aside says enough; below, three take turns."""


@dataclass(frozen=True)
class Classical:
    """What one would build without a pretrained model.

    Texts: TF-IDF of words and pairs of words under logistic regression (ridge for numbers).
    Images: histograms of colours and of oriented gradients under the same.

    Args:
        characters: also count runs of 3 to 5 characters, which forgives typing errors.
        strength: inverse regularisation; 0 chooses it on rows set aside.
        balanced: weigh the rows so that every class weighs the same.
    """

    characters: bool = tune(False, Choice((False, True)))
    strength: float = 0.0
    balanced: bool = False

    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "linear"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Fit on the training rows.

        Raises DataError when there is no text and no image column, or no image can be read.
        """
        begun = time.monotonic()
        refuse_late(run.deadline)
        with few_threads(0):
            if "image" in problem.train.roles.inputs.values():
                model, notes = self._of_images(problem, run)
            else:
                model, notes = self._of_texts(problem, run)
        return start.then(model, Step("classical", asdict(self), time.monotonic() - begun, notes))

    def _of_texts(self, problem: Problem, run: Run) -> tuple[LinearModel, dict[str, Any]]:
        task, table = problem.task, problem.train
        names = _columns(table, "text")
        runs = (3, 5) if self.characters else None
        preprocess, rows = fit_vocabulary(table.columns(), names, runs)
        targets = task.encode(table)
        refuse_late(run.deadline)
        weights = fit_terms(
            rows,
            targets,
            task.kind,
            task.outputs,
            inner_folds(table, targets, 1 if len(table) > MANY_ROWS else 3, run.seed),
            balanced=self.balanced,
            strength=self.strength or None,
            until=choosing_until(run.deadline),
            weights=table.weights,
        )
        model = LinearModel(preprocess, Terms(weights.table, weights.bias))
        return model, {"strength": weights.strength, "terms": len(weights.table)}

    def _of_images(self, problem: Problem, run: Run) -> tuple[LinearModel, dict[str, Any]]:
        task, table = problem.task, problem.train
        preprocess = Histograms(_columns(table, "image")[0])
        features = matrix(preprocess, table, run.cache)
        readable = np.flatnonzero(np.isfinite(features).all(axis=1))
        if not readable.size:
            raise DataError(f"column {preprocess.column!r}: no image can be read")
        targets = task.encode(table)[readable]
        head = fit_head(
            features[readable],
            targets,
            task.kind,
            task.outputs,
            balanced=self.balanced,
            strength=self.strength or None,
            seed=run.seed,
            weights=None if table.weights is None else table.weights[readable],
            folds=bound_folds(table.take(readable), targets, run.seed),
            deadline=run.deadline,
        )
        model = LinearModel(preprocess, Dense(head.weight.T.copy(), head.bias))
        return model, {"strength": head.strength, "features": features.shape[1]}


def _columns(table: Table, kind: str) -> tuple[str, ...]:
    found = tuple(name for name, own in table.roles.inputs.items() if own == kind)
    if not found:
        raise DataError("the input columns hold no text and no image: use boost or linear")
    return found
