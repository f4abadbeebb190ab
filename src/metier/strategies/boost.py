"""Gradient boosting of decision trees with LightGBM, for tables."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metier.deploy.arrays import matrix
from metier.deploy.booster import Booster, Member
from metier.deploy.trees import Forest, read_forest
from metier.errors import ChainError, DataError, SourceError
from metier.runtime.columns import Numbers
from metier.runtime.postprocess import TaskKind
from metier.sources.tabular import Tabular
from metier.space import Choice, Float, Int, tune
from metier.training.climb import climb
from metier.training.folds import Fold, inner_folds
from metier.training.tables.columns import fit_codes
from metier.training.tables.growing import Sample, Stop, find_stop, grow
from metier.types import Floats, Form, Modality, Problem, Run, Specialist, Step, Task

LEAVES = (4, 8, 16, 32, 64)
FIRST = 8
"""The number of leaves from which the search of a better one begins."""
MANY_ROWS = 20_000
"""From this many rows on, one part set aside says enough; below, three take turns."""
MANY_CELLS = 4_000_000
"""From this many numbers on, several threads pay."""
UNJUDGED = 50
"""Trees when there are too few rows to set any aside."""
MOST_LEAVES = 65_000
"""Leaves of all bags, about 26 bytes each in a graph: bags beyond them add little."""
LINKED: Mapping[TaskKind, frozenset[str]] = {
    "regression": frozenset({"regression", "regression_l1", "huber", "fair", "quantile", "mape"}),
    "binary": frozenset({"binary", "cross_entropy"}),
    "multiclass": frozenset({"multiclass"}),
}
"""What a given booster may have learned for its raw scores to be those of a task."""
FOR_GROWING = 0.6
"""The share of the time that is kept for growing on all rows."""


@dataclass(frozen=True)
class Boost:
    """Grow boosted trees (Friedman, 2001; LightGBM: Ke et al., 2017) and average a few boosters.

    Rows set aside within the training rows say how many trees are best; then `bags` boosters with
    that many trees, scaled to the rows, grow on all training rows and are averaged. A start that
    is a booster is continued: its trees stay, and new ones correct them.

    Args:
        trees: the most trees a booster may have.
        rate: what each tree adds (shrinkage).
        leaves: leaves of a tree; 0 lets the rows set aside choose among 4 to 64.
        rows_per_leaf: the fewest rows in a leaf.
        columns: the share of the columns that each tree may look at.
        rows: the share of the rows that each tree learns from.
        l2: penalty on the values of the leaves.
        random: the share of the bags whose trees draw their thresholds (extremely randomised
            trees: Geurts et al., 2006), which makes the bags differ.
        balanced: weigh the rows so that every class weighs the same.
        bags: how many boosters are averaged; fewer where they would be too large together, or
            take too long.
        threads: of LightGBM; 0 takes one for small tables and OpenMP's own number for large ones.
    """

    trees: int = 2000
    rate: float = tune(0.05, Float(0.01, 0.2, log=True))
    leaves: int = tune(0, Choice((0, *LEAVES)))
    rows_per_leaf: int = tune(10, Int(2, 60, log=True))
    columns: float = tune(0.5, Float(0.2, 1.0))
    rows: float = tune(0.8, Float(0.5, 1.0))
    l2: float = tune(1.0, Float(0.01, 30.0, log=True))
    random: float = tune(0.5, Choice((0.0, 0.5, 1.0)))
    balanced: bool = False
    bags: int = 4
    threads: int = 0

    accepts: ClassVar[tuple[Form, ...]] = ("source", "booster")
    gives: ClassVar[Form] = "booster"
    modalities: ClassVar[tuple[Modality, ...]] = ("tabular",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Grow boosters on the training rows.

        Raises:
            DataError: when no column is a number, a date or a category.
            SourceError: when a given booster does not fit the table.
            MissingExtraError: without LightGBM.
        """
        begun = time.monotonic()
        task, table = problem.task, problem.train
        model = _starting_model(start, problem)
        numbers = matrix(model.preprocess, table)
        goals = _goals(task, task.encode(table), model, numbers)
        notes = []
        for i, goal in enumerate(goals):
            sample = _sample(goal, numbers, model.preprocess, self.balanced, table.weights)
            folds = inner_folds(table, goal.targets, 1 if len(table) > MANY_ROWS else 3, run.seed)
            members, note = self._grow(goal, sample, folds, _share_of_time(run, len(goals) - i))
            model = replace(model, members=(*model.members, *members))
            notes.append(note)
        if not model.offset:
            model = replace(model, offset=_offset(goals, task.outputs))
        step = Step("boost", asdict(self), time.monotonic() - begun, {"boosters": notes})
        return start.then(model, step)

    def _grow(
        self, goal: Goal, sample: Sample, folds: Sequence[Fold], run: Run
    ) -> tuple[list[Member], dict[str, Any]]:
        """Choose leaves and trees on rows set aside, then grow the bags on all rows."""
        kinds = [int((i + 1) * self.random) > int(i * self.random) for i in range(self.bags)]
        leaves, stops = self._choose(goal, sample, folds, set(kinds), run)
        kinds = kinds[: _affordable([stops[kind] for kind in kinds], run)]
        sizes = np.cumsum([self._scaled(stops[kind]) * leaves * goal.classes for kind in kinds])
        kinds = kinds[: max(1, int((sizes <= MOST_LEAVES).sum()))]
        members = []
        for i, kind in enumerate(kinds):
            settings = self._settings(goal, sample, leaves, kind, run.seed * 1000 + i)
            until = _moment(run, 1 / (len(kinds) - i))
            text = grow(sample, settings, self._scaled(stops[kind]), until)
            members.append(Member(text, goal.scale / len(kinds), goal.first))
        used = [self._scaled(stops[kind]) for kind in kinds]
        loss = min(stop.loss for stop in stops.values())
        notes = {"leaves": leaves, "trees": used, "inner_loss": loss if folds else None}
        return members, notes

    def _choose(
        self, goal: Goal, sample: Sample, folds: Sequence[Fold], kinds: set[bool], run: Run
    ) -> tuple[int, dict[bool, Stop]]:
        """Return leaves, and for each kind of tree (drawn thresholds or not) where to stop."""
        until = _moment(run, 1 - FOR_GROWING)
        tried: dict[int, Stop] = {}
        if not folds:
            return self.leaves or FIRST, {kind: Stop(UNJUDGED, 0.0, 0.0, 1.0) for kind in kinds}

        def stop_of(leaves: int, kind: bool) -> Stop:
            settings = self._settings(goal, sample, leaves, kind, run.seed * 1000)
            patience = max(20, round(2 / self.rate))
            return find_stop(sample, folds, settings, self.trees, patience, until)

        def loss_of(leaves: int) -> float:
            tried[leaves] = stop_of(leaves, min(kinds))
            run.report(len(tried), -min(stop.loss for stop in tried.values()))
            return tried[leaves].loss

        leaves = self.leaves or climb(LEAVES, FIRST, loss_of, until)
        stops = {kind: stop_of(leaves, kind) for kind in kinds if kind or leaves not in tried}
        if leaves in tried:
            stops.setdefault(min(kinds), tried[leaves])
        return leaves, stops

    def _scaled(self, stop: Stop) -> int:
        """Trees for all rows: more rows carry more trees."""
        scaled = round(stop.trees / math.sqrt(stop.share))
        return max(1, min(self.trees, scaled))

    def _settings(
        self, goal: Goal, sample: Sample, leaves: int, random: bool, seed: int
    ) -> dict[str, Any]:
        n = len(sample.targets)
        return {
            "objective": goal.objective,
            "metric": LOSSES[goal.objective],
            "num_class": goal.classes,
            "learning_rate": self.rate,
            "num_leaves": leaves,
            "min_data_in_leaf": max(1, min(self.rows_per_leaf, n // 20)),
            "feature_fraction": self.columns,
            "bagging_fraction": self.rows,
            "bagging_freq": 1,
            "lambda_l2": self.l2,
            "extra_trees": random,
            # LightGBM's own values never split a category with a hundred rows or fewer in it.
            "max_cat_to_onehot": 16,
            "min_data_per_group": min(100, max(10, n // 50)),
            "feature_pre_filter": False,
            "bagging_seed": seed,
            "feature_fraction_seed": seed + 1,
            "extra_seed": seed + 2,
            "data_random_seed": 1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads or int(sample.numbers.size < MANY_CELLS),
            "verbosity": -1,
        }


LOSSES = {
    "binary": "binary_logloss",
    "multiclass": "multi_logloss",
    "regression": "l2",
    "regression_l1": "l1",
}


@dataclass(frozen=True)
class Goal:
    """What one group of boosters learns.

    Args:
        objective: LightGBM's name of the loss.
        targets: (n,) class numbers, or values without unit.
        first: the score column that it adds to, `classes` of them side by side.
        scale: the unit of its sum.
        shift: what its sum is added to.
        start: raw scores to start from, or None.
    """

    objective: str
    targets: NDArray[Any]
    first: int = 0
    classes: int = 1
    scale: float = 1.0
    shift: float = 0.0
    start: NDArray[Any] | None = None


def _goals(task: Task, targets: NDArray[Any], model: Booster, numbers: Floats) -> list[Goal]:
    """Say what is to be learned: one goal, or one a label."""
    before = model.sums(numbers).astype(np.float64) if model.members else None
    if task.kind == "regression":
        rest = targets.astype(np.float64) - (0.0 if before is None else before[:, 0])
        shift = float(rest.mean()) if before is None else 0.0
        scale = float(rest.std()) or 1.0
        objective = "regression_l1" if task.metrics[0] == "mae" else "regression"
        return [Goal(objective, (rest - shift) / scale, scale=scale, shift=shift)]
    if task.kind == "multiclass":
        return [Goal("multiclass", targets, classes=task.outputs, start=before)]
    if task.kind == "binary":
        start = None if before is None else before[:, 1] - before[:, 0]
        return [Goal("binary", targets, first=1, start=start)]
    return [
        Goal("binary", targets[:, j], first=j, start=None if before is None else before[:, j])
        for j in range(task.outputs)
    ]


def _offset(goals: Sequence[Goal], outputs: int) -> tuple[float, ...]:
    found = [0.0] * outputs
    for goal in goals:
        found[goal.first] += goal.shift
    return tuple(found)


def _sample(
    goal: Goal,
    numbers: Floats,
    preprocess: Any,
    balanced: bool,
    weights: NDArray[np.float64] | None,
) -> Sample:
    if balanced and not goal.objective.startswith("regression"):
        _, which, counts = np.unique(goal.targets, return_inverse=True, return_counts=True)
        even = (len(goal.targets) / (len(counts) * counts))[which]
        weights = even if weights is None else weights * even
    codes = preprocess.categorical if isinstance(preprocess, Numbers) else ()
    return Sample(numbers, goal.targets, codes, weights, goal.start)


def _moment(run: Run, share: float) -> float | None:
    """The instant at which a share of the time left has gone by; None without a deadline."""
    if run.deadline is None:
        return None
    now = time.monotonic()
    return now + max(0.0, run.deadline - now) * share


def _affordable(stops: Sequence[Stop], run: Run) -> int:
    """How many boosters there is time to grow, at least one."""
    if run.deadline is None:
        return len(stops)
    left = 0.9 * (run.deadline - time.monotonic())
    costs = np.cumsum([stop.seconds * stop.trees / math.sqrt(stop.share) for stop in stops])
    return max(1, int((costs <= left).sum()))


def _starting_model(start: Specialist, problem: Problem) -> Booster:
    """Return the booster to go on from; one without members when there is none."""
    task, table = problem.task, problem.train
    if isinstance(start.model, Booster):
        return start.model
    if start.model is not None:
        raise ChainError(f"a {start.form} that is no sum of boosters cannot be boosted further")
    preprocess = fit_codes(table)
    if not preprocess.columns:
        raise DataError("the input columns hold no number, date or category to boost on")
    text = start.source.text if isinstance(start.source, Tabular) else None
    if text is None:
        return Booster(preprocess, (), task.outputs)
    return _given(text, preprocess, task)


def _given(text: str, preprocess: Numbers, task: Task) -> Booster:
    """Return a user's booster as the start, if it fits."""
    if task.kind == "multilabel":
        raise SourceError("a given booster has one target: it cannot be continued for many labels")
    first = 1 if task.kind == "binary" else 0
    forest = read_forest(text)
    wide = len(preprocess.names)
    if forest.features != wide:
        raise SourceError(
            f"the given booster reads {forest.features} features, the table has {wide}: "
            "give the columns that it was trained on, in their order"
        )
    if forest.outputs != task.outputs - first:
        raise SourceError(
            f"the given booster has {forest.outputs} outputs, the task asks for "
            f"{task.outputs - first}: give one that was trained for this target"
        )
    member = Member(text, _unit(forest, task), first)
    return Booster(preprocess, (member,), task.outputs, (0.0,) * task.outputs)


def _unit(forest: Forest, task: Task) -> float:
    """Return what makes a score of the task of the sum of a given booster's trees.

    Raises SourceError where no factor does: it learned logarithms or roots, or another task.
    """
    name, *settings = forest.objective.split() or [""]
    # One that was trained with an objective of the user's own names none.
    if name and (name not in LINKED[task.kind] or "sqrt" in settings):
        raise SourceError(
            f"the given booster was trained for {forest.objective!r}, whose scores are not those "
            f"of a {task.kind} task: train it with {' or '.join(sorted(LINKED[task.kind]))}"
        )
    steepness = dict(setting.partition(":")[::2] for setting in settings).get("sigmoid", "1")
    rounds = len(forest.trees) // forest.outputs if forest.averages else 1
    return float(steepness) / max(rounds, 1)


def _share_of_time(run: Run, goals_left: int) -> Run:
    """Return the run with the part of its time that the next goal may use."""
    return replace(run, deadline=_moment(run, 1 / goals_left))
