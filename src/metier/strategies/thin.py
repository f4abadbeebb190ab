"""Boosters with fewer trees and fewer leaves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

from metier.deploy.arrays import matrix
from metier.deploy.booster import Booster
from metier.errors import ChainError, Pruned
from metier.registry import find
from metier.sources.tabular import Tabular
from metier.space import Float, tune
from metier.training.compression.thinning import Trial, choose, thinned
from metier.training.folds import inner_folds
from metier.training.fused import Fused, beside
from metier.training.start import feed_for
from metier.types import (
    Form,
    Modality,
    Problem,
    Rows,
    Run,
    Specialist,
    Step,
    Strategy,
    nothing_to_report,
)

MANY_ROWS = 5000
"""From this many rows on, one part set aside says enough; below, three take turns."""
FOR_GROWING = 0.7
"""The share of the time that growing boosters again may take."""


@dataclass(frozen=True)
class Thin:
    """Leave out boosters, later trees, and splits of little gain, as far as the loss allows.

    A booster has learned from its training rows, and on them every tree looks useful. So boosters
    are grown again in the same way on a part of the rows, and the others, which they have not seen,
    say how thin they may be. The given booster is then made as thin. One that was not made by a
    single `boost` cannot be grown again; it is judged as it is, and as it may have learned from
    the rows that judge it, less is left out than could be.

    Args:
        tolerance: by what share the loss (log loss, squared or absolute error) may rise, one
            standard error included.

    Raises:
        ChainError: for a model that is no sum of boosters.
    """

    tolerance: float = tune(0.01, Float(0.001, 0.1, log=True))
    accepts: ClassVar[tuple[Form, ...]] = ("booster",)
    gives: ClassVar[Form] = "booster"
    modalities: ClassVar[tuple[Modality, ...]] = ("tabular", "text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        model = start.model
        if isinstance(model, Fused) and isinstance(model.inner, Booster):
            features = feed_for(model.net, problem.train, run).features()
            inner = replace(start, source=Tabular(), model=model.inner)
            joined = Problem(problem.task, beside(problem.train, features))
            booster, notes = self._thinned(inner, model.inner, joined, run)
            smaller: Booster | Fused = replace(model, inner=booster)
        elif isinstance(model, Booster):
            smaller, notes = self._thinned(start, model, problem, run)
        else:
            raise ChainError(f"thin takes a sum of boosters: this {start.form} is none")
        return start.then(smaller, Step("thin", asdict(self), time.monotonic() - began, notes))

    def _thinned(
        self, start: Specialist, model: Booster, problem: Problem, run: Run
    ) -> tuple[Booster, Mapping[str, Any]]:
        targets = problem.task.encode(problem.train)
        table = problem.train
        folds = inner_folds(table, targets, 1 if len(table) > MANY_ROWS else 3, run.seed)
        if not folds:
            return model, {"rows": 0}
        strategy = _growing(start)
        trials = []
        for i, (fit, judge) in enumerate(folds):
            judge = judge[:: -(-len(judge) // MANY_ROWS)]
            judged = model
            if strategy is not None:
                judged = _grown_again(strategy, problem, fit, _share_of_time(run, len(folds) - i))
            numbers = matrix(judged.preprocess, table.take(judge))
            trials.append(Trial(judged, numbers, targets[judge]))
        found = choose(trials, problem.task, self.tolerance, strategy is not None)
        smaller = thinned(model, found.thin)
        return smaller, {
            **asdict(found.thin),
            "loss": found.loss,
            "of_loss": found.whole,
            "rows": sum(len(trial.targets) for trial in trials),
            "unseen": strategy is not None,
            "splits_and_leaves": smaller.parameters,
            "of": model.parameters,
        }


def _growing(start: Specialist) -> Strategy | None:
    """The strategy that grew the boosters, when it was one that can be repeated."""
    steps = [step for step in start.lineage if step.strategy in ("boost", "fuse")]
    given = start.source.modality == "tabular" and start.source.digest != Tabular().digest
    if len(steps) != 1 or given:
        return None
    (step,) = steps
    parameters = dict(step.parameters)
    if step.strategy == "fuse":
        parameters = dict(parameters["inner"])
        if parameters.pop("strategy") != "boost":
            return None
    boost = find("strategies", "boost")
    known = {field.name for field in fields(boost)}
    # How many leaves they have has been found out; it need not be searched again.
    leaves = {note["leaves"] for note in step.notes.get("boosters", ())}
    if len(leaves) == 1:
        parameters["leaves"] = leaves.pop()
    found: Strategy = boost(**{key: value for key, value in parameters.items() if key in known})
    return found


def _share_of_time(run: Run, folds: int) -> Run:
    """The run with the part of its time that growing for one of the folds left may take.

    Raises Pruned when the time is over.
    """
    if run.deadline is None:
        return run
    now = time.monotonic()
    if now >= run.deadline:
        raise Pruned("out of time")
    return replace(run, deadline=now + FOR_GROWING * (run.deadline - now) / folds)


def _grown_again(strategy: Strategy, problem: Problem, rows: Rows, run: Run) -> Booster:
    """Boosters that have learned from some of the rows only."""
    beginning = Specialist(Tabular(), problem.task)
    some = Problem(problem.task, problem.train.take(rows))
    grown = strategy(beginning, some, replace(run, report=nothing_to_report)).model
    assert isinstance(grown, Booster)
    return grown
