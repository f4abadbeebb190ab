"""The learning curve of a run: one recipe, fitted on growing parts of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from metier.data.splits import CALIBRATE, SELECT
from metier.data.table import clusters_of
from metier.evidence.morelabels import FEWEST_POINTS, MoreLabels, look_ahead
from metier.search.choice import Climb, ranked
from metier.search.climb import CONSTANT
from metier.search.clock import Clock
from metier.search.finals import frozen_recipe
from metier.search.race import Race
from metier.search.records import Candidate
from metier.search.slots import longest
from metier.types import Rows

SHARES = (0.125, 0.25, 0.5)
"""Of the rows of a fold, beside all of them."""
FEWEST_ROWS = 20
FEWEST_A_LABEL = 2
SLOWER = 1.2
"""Fits are planned to take this many times what their rows would make of the time of all."""
BUDGET_SHARE, FROM = 0.04, 60.0
"""Of a budget of this many seconds and more, what is kept for the learning curve."""


def reserve_for(budget: float | None) -> float:
    """Return the seconds of a budget that the search leaves for the learning curve."""
    return 0.0 if budget is None or budget < FROM else BUDGET_SHARE * budget


def more_labels(
    race: Race, climb: Climb, clock: Clock, kept: Callable[[Candidate], float]
) -> MoreLabels | None:
    """Return what more labels would bring, None when there is no time or are too few rows.

    The chosen recipe is fitted on parts of a fold's rows; where that takes too long, the best
    candidate that is quick enough stands for it.

    Args:
        race: the folds, and who fits on them.
        climb: the search that ended.
        clock: the wall-clock.
        kept: the seconds that all that follows needs, should this candidate be chosen.
    """
    fold = climb.folds[0]
    if not len(_held(race, fold)):
        return None
    left = None if clock.budget is None else clock.left - kept(climb.chosen)
    for candidate in [climb.chosen, *ranked(race, climb.candidates, climb.rows, climb.folds)]:
        if candidate.rung in CONSTANT or fold not in candidate.folds:
            continue
        learned = race.rows_for(candidate.recipe, race.split.folds[fold].train)
        parts = list(_parts(race.targets, learned, race.task.outputs, race.seed))
        if len(parts) + 1 < FEWEST_POINTS:
            continue
        work = sum(len(part) for part in parts) / len(learned)
        if left is None or SLOWER * work * longest(candidate) < left:
            return _curve(race, candidate, [*parts, learned], fold, clock)
    return None


def _held(race: Race, fold: int) -> Rows:
    """The rows that a fold leaves out, but for those kept for the proof."""
    return np.sort(np.concatenate([race.rows(kind, [fold]) for kind in (SELECT, CALIBRATE)]))


def _parts(targets: NDArray[np.int64], rows: Rows, outputs: int, seed: int) -> Iterator[Rows]:
    """Growing parts of the rows, each within the next, with all classes in their shares."""
    order = np.random.default_rng((seed, len(rows))).permutation(rows)
    if targets.ndim == 1 and targets.dtype.kind == "i":
        # The k-th of m rows of a class comes at (k + 1/2) / m.
        place = np.empty(len(order))
        for label in np.unique(targets[order]):
            own = np.flatnonzero(targets[order] == label)
            place[own] = (np.arange(len(own)) + 0.5) / len(own)
        order = order[np.argsort(place, kind="stable")]
    fewest = max(FEWEST_ROWS, FEWEST_A_LABEL * outputs)
    for share in SHARES:
        if (count := round(share * len(rows))) >= fewest:
            yield np.sort(order[:count])


def _curve(
    race: Race, candidate: Candidate, parts: list[Rows], fold: int, clock: Clock
) -> MoreLabels | None:
    """Fit on all parts but the last, on which the candidate was fitted already."""
    held = _held(race, fold)
    recipe, scores = frozen_recipe(candidate), []
    deadline = clock.deadline(clock.left) if clock.budget is not None else None
    for number, part in enumerate(parts[:-1]):
        name = f"{candidate.name}/share-{number}"
        fit = partial(race.fit, recipe, part, name=name, deadline=deadline)
        made = race.attempt(Candidate(name, candidate.rung, recipe), fit)
        if made is None:
            return None
        scores.append(race.scores_of(made, held))
    scores.append(race.scores(candidate, held))
    return look_ahead(
        race.metric,
        candidate.name,
        race.targets[held],
        scores,
        [len(part) for part in parts],
        race.plain,
        seed=race.seed,
        clusters=clusters_of(race.table, held),
    )
