"""Which candidate is the best on shared rows, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

from metier.data.table import clusters_of
from metier.errors import DataError
from metier.evidence.compare import Comparison, paired
from metier.search.race import Race
from metier.search.records import Candidate
from metier.search.wrapping import innermost
from metier.types import Rows

Prefer = Literal["best", "small"]
STEPS: Mapping[str, int] = {
    "majority": 0,
    "mean": 0,
    "linear": 1,
    "classical": 1,
    "boost": 2,
    "ebm": 2,
}
"""How dear a strategy's models are at predict: counts and tables before networks, which are 3."""


FREEDOM: Mapping[str, int] = {"lora": 2, "scratch": 4}


@dataclass
class Climb:
    """A search that ended: all candidates in order, the folds they share, and who won.

    Args:
        candidates: all that were tried, in order.
        folds: those that every finished candidate was fitted on.
        rows: the rows of these folds that the choice was made on.
        chosen: the winner.
        ties: the candidates that cannot be told from it, by name.
        passed: the one that did better by no more than chance explains, and trains more; "" when
            the best was chosen.
    """

    candidates: list[Candidate]
    folds: tuple[int, ...]
    rows: Rows
    chosen: Candidate
    ties: dict[str, Comparison] = field(default_factory=dict)
    passed: str = ""

    def finished(self) -> list[Candidate]:
        """The candidates with a result on all shared folds."""
        return finished(self.candidates, self.folds)


def choose(
    race: Race, candidates: list[Candidate], folds: tuple[int, ...], prefer: Prefer = "best"
) -> Climb:
    """Choose on the shared selecting rows; name those that cannot be told from the best.

    What trains more of a network has to be better than what trains less of it by more than the
    best of so many trials owes to chance (`by_chance`): on few rows that is most of a lead. With
    "small" the cheapest candidate that is not distinguishable from the best is chosen: the one with
    the fewest parameters among the simplest kind of model. No clock decides.

    Raises DataError when no candidate has a result.
    """
    rows = race.selecting_rows(folds)
    best = leader(race, candidates, rows, folds)
    if best is None:
        reasons = "; ".join(f"{c.name}: {c.note}" for c in candidates if c.note)
        raise DataError(f"no strategy could be fitted on these data ({reasons or 'nothing tried'})")
    ahead, best = best, _plainest(race, candidates, best, rows, folds)
    ties = _ties(race, candidates, best, rows, folds)
    chosen = best
    if prefer == "small" and ties:
        chosen = min([c for c in candidates if c.name in ties or c is best], key=size)
        ties = _ties(race, candidates, chosen, rows, folds)
    passed = ahead.name if best is not ahead and chosen is best else ""
    return Climb(candidates, folds, rows, chosen, ties, passed)


def _plainest(
    race: Race, candidates: Sequence[Candidate], best: Candidate, rows: Rows, folds: tuple[int, ...]
) -> Candidate:
    """Return the candidate that trains least among those that the best leads by chance alone, or
    a baseline that did better than that one."""
    if best.state == "baseline":
        return best
    others = [c for c in ranked(race, candidates, rows, folds) if c.state == "tried"]
    baselines = [c for c in candidates if c.state == "baseline"]
    for level in sorted({freedom(c) for c in others if freedom(c) < freedom(best)}):
        alike = [c for c in others if freedom(c) == level]
        freer = sum(freedom(c) > level for c in others)
        behind = compare(race, best, alike[0], rows)
        if behind.difference <= behind.error * max(0.0, by_chance(freer) - by_chance(len(alike))):
            return ranked(race, [alike[0], *baselines], rows, folds)[0]
    return best


def by_chance(trials: int) -> float:
    """Return how far the best of so many equally good trials is expected to lie above them, in
    standard errors of the difference of two of them.

    Of one trial's own error that is the mean of the largest of so many normal numbers (Blom, 1958),
    and the error of a difference is √2 times as large.

    >>> [round(by_chance(trials), 2) for trials in (1, 2, 4, 10, 30)]
    [0.0, 0.42, 0.74, 1.09, 1.44]
    """
    if trials < 2:
        return 0.0
    return NormalDist().inv_cdf((trials - 0.375) / (trials + 0.25)) / math.sqrt(2)


def freedom(candidate: Candidate) -> int:
    """Return how much of a network a candidate trains; 0 for what trains none of it."""
    strategy, parameters = innermost(candidate.recipe.strategy, candidate.recipe.parameters)
    if strategy == "finetune":
        return {"head": 0, "top": 1}.get(str(parameters.get("train")), 3)
    return FREEDOM.get(strategy, 0)


def ranked(
    race: Race, candidates: Sequence[Candidate], rows: Rows, folds: tuple[int, ...]
) -> list[Candidate]:
    """Return the candidates with a result on all shared folds, best first."""
    return sorted(finished(candidates, folds), key=lambda c: -value(race, c, rows))


def leader(
    race: Race, candidates: Sequence[Candidate], rows: Rows, folds: tuple[int, ...]
) -> Candidate | None:
    """Return the best of the finished candidates, None when there is none."""
    return next(iter(ranked(race, candidates, rows, folds)), None)


def finished(candidates: Sequence[Candidate], folds: tuple[int, ...]) -> list[Candidate]:
    """Return the candidates with a result on all of some folds."""
    return [c for c in candidates if all(k in c.folds for k in folds)]


def value(race: Race, candidate: Candidate, rows: Rows) -> float:
    """Return the deciding metric, higher better; one that is not defined is the worst."""
    found = race.value(candidate, rows)
    return -math.inf if math.isnan(found) else found


def size(candidate: Candidate) -> tuple[int, int]:
    """Return how dear a candidate is at predict, as far as that is known without a clock."""
    strategy, _ = innermost(candidate.recipe.strategy, candidate.recipe.parameters)
    return STEPS.get(strategy, 3), candidate.parameters


def compare(race: Race, a: Candidate, b: Candidate, rows: Rows) -> Comparison:
    """Compare two candidates on rows that both have out-of-fold scores of, by groups of rows where
    there are any."""
    return paired(
        race.metric,
        race.targets[rows],
        race.scores(a, rows),
        race.scores(b, rows),
        race.plain,
        race.plain,
        seed=race.seed,
        clusters=clusters_of(race.table, rows),
    )


def _ties(
    race: Race, candidates: list[Candidate], best: Candidate, rows: Rows, folds: tuple[int, ...]
) -> dict[str, Comparison]:
    compared = {
        other.name: compare(race, best, other, rows)
        for other in finished(candidates, folds)
        if other is not best
    }
    return {name: c for name, c in compared.items() if c.verdict == "not distinguishable"}
