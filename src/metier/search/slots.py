"""How much of the time that is left one fit may take, so that all that must follow still can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from metier.search.clock import Clock
from metier.search.ladder import HEAD_ONLY, Rung
from metier.search.race import Race
from metier.search.records import Candidate

FEWEST_SECONDS = 0.5
"""A slot shorter than this is not worth a beginning,"""
FEWEST_FOR_A_HEAD = 0.1
"""unless all that has to be fitted is a head, to features that are there already."""
FOR_A_BASELINE = 0.25
"""What comes after the baselines needs the time more."""
TOO_DEAR = 1.5
"""A rung whose fits took this many times a slot is closed."""


@dataclass(frozen=True)
class Limits:
    """What a search may use.

    Args:
        clock: the wall-clock; every fit must end before it does, the final fits included.
        reserve: gives the seconds kept for all that follows the search but the final fits.
        finals: how many times the chosen recipe is fitted again at the end.
        trials: number of searched candidates; None lets the clock decide.
        baseline: the share of its slot that a baseline gets.
    """

    clock: Clock
    reserve: Callable[[], float]
    finals: int
    trials: int | None = None
    baseline: float = FOR_A_BASELINE


def slot(
    limits: Limits,
    race: Race,
    rung: Rung,
    candidates: Sequence[Candidate],
    leader: Candidate | None,
    folds: tuple[int, ...],
) -> float | None:
    """Return the seconds that one fit of a rung may take; None without a clock, 0 for none.

    After all folds there must be time for the final fits of this candidate, or of the leader
    should that one stay ahead, and for fitting the baselines again for the proof.
    """
    if limits.clock.budget is None:
        return None
    left = limits.clock.left - limits.reserve() - refits(limits, race, candidates)
    more = limits.finals * growth(race, folds)
    per_fit = left / (len(folds) + more)
    if leader is not None:
        per_fit = min(per_fit, (left - more * longest(leader)) / len(folds))
    if rung.baseline:
        per_fit *= limits.baseline
    per_fit *= rung.share
    known = [r.seconds for c in candidates if c.rung == rung.name for r in c.folds.values()]
    dear = bool(known) and float(np.median(known)) > TOO_DEAR * per_fit
    fewest = FEWEST_FOR_A_HEAD if rung.strategy in HEAD_ONLY else FEWEST_SECONDS
    return 0.0 if dear or per_fit < fewest else per_fit


def refits(limits: Limits, race: Race, candidates: Sequence[Candidate]) -> float:
    """Return the seconds that the baselines need to be fitted and scored again for the proof."""
    if race.proves_out_of_fold:
        return 0.0
    more = growth(race, tuple(range(len(race.split.folds))))
    return sum(more * longest(c) for c in candidates if c.state == "baseline")


def growth(race: Race, folds: tuple[int, ...]) -> float:
    """Return how many times the rows of a fold's fit all rows are."""
    train = [len(race.split.folds[k].train) for k in folds]
    return len(race.table) / max(float(np.mean(train)), 1.0)


def longest(candidate: Candidate) -> float:
    """Return the seconds of its longest fit."""
    return max((result.seconds for result in candidate.folds.values()), default=0.0)


def shared_folds(race: Race) -> tuple[int, ...]:
    """Return the folds on which candidates meet: all when rows are few, prove out-of-fold or are
    cheap to fit, since the noise of one fold would choose among many quick trials."""
    n, k = len(race.table), len(race.split.folds)
    quick = race.table.roles.modality == "tabular" and n <= QUICK
    if n < SMALL or quick or race.proves_out_of_fold:
        return tuple(range(k))
    return tuple(range(min(k, 2 if n < MEDIUM else 1)))


SMALL, MEDIUM = 1000, 3000
"""Rows below which all folds, or two of them, are fitted for every candidate."""
QUICK = 20_000
"""Rows of a table up to which a fit takes seconds."""
