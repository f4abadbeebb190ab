"""Explainable boosting machines with InterpretML, for tables: a model that can be read."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metier.deploy.additive import Additive, Term
from metier.deploy.arrays import matrix
from metier.errors import DataError, MissingExtraError, Pruned
from metier.runtime.columns import Numbers
from metier.space import Choice, Float, Int, tune
from metier.training.folds import inner_folds
from metier.training.heads import bound_folds
from metier.training.tables.columns import fit_codes
from metier.training.tables.glass import Goal, constant_scores, goals_of, terms_of, with_gaps
from metier.types import Form, Modality, Problem, Run, Specialist, Step, Table

FOR_CURVES = 0.6
"""The share of the time that the curves of single columns have; pairs have the rest."""
PAIR_BINS = 32
HELD_OUT = 0.15
"""The share of the rows that a bag stops by."""


@dataclass(frozen=True)
class Ebm:
    """Boost one curve a column, and a few pairs, in turns (Lou et al., 2013; the library
    `interpret`: Nori et al., 2019), averaged over bags; what it learned can be drawn.

    Args:
        pairs: how many pairs of columns may act together; none for more than two classes.
        rate: what each round adds.
        leaves: of the small trees that shape a curve.
        rows_per_leaf: the fewest rows in a leaf.
        bins: the most steps of a curve.
        bags: how many are averaged; their spread is the error band of a curve.
        trees: the most rounds.
        patience: rounds without a better score, on rows set aside, after which a bag stops.
    """

    pairs: int = tune(10, Choice((0, 5, 10, 20)))
    rate: float = tune(0.03, Float(0.01, 0.1, log=True))
    leaves: int = tune(2, Choice((2, 3)))
    rows_per_leaf: int = tune(4, Int(2, 50, log=True))
    bins: int = 256
    bags: int = 8
    trees: int = 10_000
    patience: int = 100

    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "additive"
    modalities: ClassVar[tuple[Modality, ...]] = ("tabular",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Fit on the training rows.

        Raises:
            DataError: when no column is a number, a date or a category.
            Pruned: when the time is over before anything is fitted.
            MissingExtraError: without interpret.
        """
        begun = time.monotonic()
        if run.deadline is not None and begun > run.deadline:
            raise Pruned("out of time")
        task, table = problem.task, problem.train
        preprocess = fit_codes(table)
        if not preprocess.columns:
            raise DataError("the input columns hold no number, date or category to draw curves of")
        numbers = with_gaps(preprocess, matrix(preprocess, table))
        terms: list[Term] = []
        offset = np.zeros(task.outputs)
        bags = self._bags(table, task.encode(table), run.seed)
        rounds = []
        goals = goals_of(task, task.encode(table))
        for i, goal in enumerate(goals):
            if goal.constant:
                offset += constant_scores(goal, task.outputs)
                continue
            watch = Watch(run, self.bags, len(goals) - i)
            fitted = self.fit(goal, numbers, preprocess, run.seed, watch, table.weights, bags)
            own, base = terms_of(fitted, goal, preprocess, task.outputs)
            terms += own
            offset += base
            rounds.append(watch.rounds)
        model = Additive(preprocess, tuple(terms), tuple(offset.tolist()))
        notes = {"terms": len(terms), "rounds": rounds}
        return start.then(model, Step("ebm", asdict(self), time.monotonic() - begun, notes))

    def fit(
        self,
        goal: Goal,
        numbers: NDArray[np.float64],
        preprocess: Numbers,
        seed: int,
        watch: Watch,
        weights: NDArray[np.float64] | None = None,
        bags: NDArray[np.int8] | None = None,
    ) -> Any:
        """Return the fitted machine of InterpretML for one goal; `numbers` (n, features), `weights`
        (n,), `bags` (n, bags) as `_bags` returns them."""
        classifier, regressor = _interpret()
        kinds = ["continuous"] * numbers.shape[1]
        for place in preprocess.categorical:
            kinds[place] = "nominal"
        settings = {
            "feature_types": kinds,
            "max_bins": self.bins,
            "max_interaction_bins": PAIR_BINS,
            "interactions": 0 if goal.classes > 2 else self.pairs,
            "learning_rate": self.rate,
            "max_leaves": self.leaves,
            "min_samples_leaf": self.rows_per_leaf,
            "outer_bags": self.bags,
            "max_rounds": self.trees,
            "early_stopping_rounds": self.patience,
            "validation_size": HELD_OUT if len(numbers) >= 40 else 0,
            "callback": watch,
            "n_jobs": 1,
            "random_state": seed,
        }
        kind = classifier if goal.classes else regressor
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on missing values, which have bins of their own
            return kind(**settings).fit(numbers, goal.targets, sample_weight=weights, bags=bags)

    def _bags(self, table: Table, targets: NDArray[Any], seed: int) -> NDArray[np.int8] | None:
        """Which rows each bag learns from (1) and stops by (-1), where rows belong together, follow
        each other or were made up. None where the library may draw them as it likes."""
        if bound_folds(table, targets, seed) is None:
            return None
        found = np.ones((self.bags, len(table)), dtype=np.int8)
        for place, bag in enumerate(found):
            for fit, judge in inner_folds(table, targets, 1, seed + place, HELD_OUT):
                bag[:] = 0
                bag[fit], bag[judge] = 1, -1
        return found.T


class Watch:
    """Stops the boosting of each bag when its part of the time is over, and counts the rounds.

    The bags take turns twice: for the curves, then for the pairs.
    """

    def __init__(self, run: Run, bags: int, goals_left: int) -> None:
        self.rounds = 0
        self._bags, self._bag, self._pairs = bags, 0, False
        self._start = time.monotonic()
        left = None if run.deadline is None else max(0.0, run.deadline - self._start)
        self._left = None if left is None else 0.9 * left / goals_left

    def __call__(self, bag: int, step: int, better: bool, score: float) -> bool:
        if bag < self._bag:
            self._pairs = True
        self._bag = bag
        self.rounds = max(self.rounds, step)
        if self._left is None:
            return False
        share = (bag + 1) / self._bags
        until = FOR_CURVES + (1 - FOR_CURVES) * share if self._pairs else FOR_CURVES * share
        return time.monotonic() - self._start > until * self._left


def _interpret() -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        from interpret.glassbox import (
            ExplainableBoostingClassifier,
            ExplainableBoostingRegressor,
        )
    except ImportError as error:
        raise MissingExtraError("interpret-core", "explain", "the strategy ebm") from error
    return ExplainableBoostingClassifier, ExplainableBoostingRegressor
