"""Explainable boosting machines with InterpretML, for tables: a model that can be read."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metier.deploy.additive import Additive, Term, edges_below
from metier.deploy.arrays import matrix
from metier.errors import DataError, MissingExtraError, Pruned
from metier.runtime.columns import Numbers
from metier.space import Choice, Float, Int, tune
from metier.training.columns import fit_codes
from metier.types import Form, Modality, Problem, Run, Specialist, Step, Task

FOR_CURVES = 0.6
"""The share of the time that the curves of single columns have; pairs have the rest."""
PAIR_BINS = 32
UNLIKELY = -12.0
"""The score of a class that no row has."""


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
        numbers = _with_gaps(preprocess, matrix(preprocess, table))
        terms: list[Term] = []
        offset = np.zeros(task.outputs)
        rounds = []
        goals = _goals(task, task.encode(table))
        for i, goal in enumerate(goals):
            if goal.constant:
                offset += _constant(goal, task.outputs)
                continue
            watch = _Watch(run, self.bags, len(goals) - i)
            fitted = self._fit(goal, numbers, preprocess, run.seed, watch)
            own, base = _terms(fitted, goal, preprocess, task.outputs)
            terms += own
            offset += base
            rounds.append(watch.rounds)
        model = Additive(preprocess, tuple(terms), tuple(offset.tolist()))
        notes = {"terms": len(terms), "rounds": rounds}
        return start.then(model, Step("ebm", asdict(self), time.monotonic() - begun, notes))

    def _fit(
        self,
        goal: Goal,
        numbers: NDArray[np.float64],
        preprocess: Numbers,
        seed: int,
        watch: _Watch,
    ) -> Any:
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
            "validation_size": 0.15 if len(numbers) >= 40 else 0,
            "callback": watch,
            "n_jobs": 1,
            "random_state": seed,
        }
        kind = classifier if goal.classes else regressor
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on missing values, which have bins of their own
            return kind(**settings).fit(numbers, goal.targets)


@dataclass(frozen=True)
class Goal:
    """What one machine learns.

    Args:
        targets: (n,) class numbers, or values without unit.
        classes: how many; 0 for values.
        first: the score column that it adds to, or the first of them.
        scale, shift: the unit of a value, and what it is counted from.
        known: the classes that occur, in order.
    """

    targets: NDArray[Any]
    classes: int = 0
    first: int = 0
    scale: float = 1.0
    shift: float = 0.0
    known: tuple[int, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether there is nothing to tell apart."""
        return len(self.known) == 1 or (self.classes == 0 and not self.targets.any())

    @property
    def columns(self) -> list[int]:
        """The score columns that the outputs of a machine go to."""
        if self.classes <= 2:
            return [self.first]
        return list(self.known) if len(self.known) > 2 else [self.known[-1]]


def _goals(task: Task, targets: NDArray[Any]) -> list[Goal]:
    """Say what is to be learned: one goal, or one a label."""
    if task.kind == "regression":
        values = targets.astype(np.float64)
        shift, scale = float(values.mean()), float(values.std()) or 1.0
        return [Goal((values - shift) / scale, scale=scale, shift=shift)]
    if task.kind == "multilabel":
        return [_classes(targets[:, j].astype(np.int64), 2, j) for j in range(task.outputs)]
    return [_classes(targets, task.outputs, 1 if task.kind == "binary" else 0)]


def _classes(targets: NDArray[Any], classes: int, first: int) -> Goal:
    known = tuple(np.unique(targets).tolist())
    return Goal(targets, classes, first, known=known)


class _Watch:
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


def _with_gaps(preprocess: Numbers, numbers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the numbers with categories that are not there as missing."""
    found = numbers.astype(np.float64)
    for place in preprocess.categorical:
        found[:, place] = np.where(found[:, place] < 0, np.nan, found[:, place])
    return found


def _terms(
    fitted: Any, goal: Goal, preprocess: Numbers, outputs: int
) -> tuple[list[Term], NDArray[np.float64]]:
    """Return the terms of a machine, and the offset of the scores (outputs,)."""
    widths = _widths(preprocess)
    offset = _unseen(goal, outputs)
    columns = goal.columns
    offset[columns] = np.atleast_1d(fitted.intercept_) * goal.scale + goal.shift
    found = []
    for features, scores, errors, importance in zip(
        fitted.term_features_,
        fitted.term_scores_,
        fitted.standard_deviations_,
        fitted.term_importances(),
        strict=True,
    ):
        pair = len(features) > 1
        layouts = [_layout(fitted.bins_[f], pair, widths.get(f)) for f in features]
        places = np.ix_(*(place for _, place in layouts))
        tables = []
        for values in (scores, errors):
            own = np.asarray(values)[places]
            own = own if own.ndim > len(features) else own[..., None]
            table = np.zeros((*own.shape[:-1], outputs))
            table[..., columns] = own * goal.scale
            tables.append(table)
        edges = tuple(edges for edges, _ in layouts)
        found.append(
            Term(tuple(map(int, features)), edges, *tables, float(importance) * goal.scale)
        )
    return found, offset


def _unseen(goal: Goal, outputs: int) -> NDArray[np.float64]:
    """Return scores that make a class without rows unlikely, and are 0 elsewhere."""
    offset = np.zeros(outputs)
    if goal.classes > 2:
        offset[np.setdiff1d(np.arange(outputs), goal.known)] = UNLIKELY
    return offset


def _constant(goal: Goal, outputs: int) -> NDArray[np.float64]:
    """Return the scores of a target with one value."""
    offset = _unseen(goal, outputs)
    if goal.classes == 0:
        offset[0] = goal.shift
    elif goal.classes == 2:
        odds = float(np.log(len(goal.targets) + 1.0))
        offset[goal.first] = odds if goal.known[0] else -odds
    return offset


def _widths(preprocess: Numbers) -> dict[int, int]:
    """The number of known categories at each place that holds codes."""
    owners = [spec for spec in preprocess.columns for _ in spec.names]
    return {place: len(owners[place].vocabulary) for place in preprocess.categorical}


def _layout(
    bins: Sequence[Any], pair: bool, categories: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the edges of a column, and for each of our bins its place in InterpretML's table.

    There, 0 is missing, then the bins, and the last one is for what was never seen. Ours begin with
    missing, too; a category that is not there (-1) falls into the first bin after it.
    """
    own = bins[min(len(bins) - 1, int(pair))]
    if categories is None:
        cuts = np.asarray(own, dtype=np.float64)
        return edges_below(cuts), np.arange(len(cuts) + 2)
    places = [0, 0, *(own.get(str(code), -1) for code in range(categories))]
    edges = np.arange(categories, dtype=np.float32) - np.float32(0.5)
    return edges, np.array(places, dtype=np.int64)


def _interpret() -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        from interpret.glassbox import (
            ExplainableBoostingClassifier,
            ExplainableBoostingRegressor,
        )
    except ImportError as error:
        raise MissingExtraError("interpret-core", "explain", "the strategy ebm") from error
    return ExplainableBoostingClassifier, ExplainableBoostingRegressor
