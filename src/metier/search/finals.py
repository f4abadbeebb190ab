"""After the race: the frozen recipe, its decision rule, and one look at the rows kept for proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.data.sensitive import at_rows
from metier.data.table import clusters_of
from metier.errors import DataError
from metier.evidence.metrics import interval
from metier.evidence.uncertainty.isotonic import fit_calibration
from metier.evidence.uncertainty.thresholds import fit_thresholds
from metier.runtime.postprocess import Decision
from metier.search.choice import Climb, ranked
from metier.search.climb import CONSTANT
from metier.search.clock import Clock
from metier.search.race import Race
from metier.search.recipe import Recipe, settle
from metier.search.records import Candidate
from metier.search.sampling import score_until
from metier.search.slots import growth, longest
from metier.search.wrapping import build
from metier.types import Finding, Floats, Rows, Specialist, Table

ON_TRAIN = 512
"""Rows by which it is told how well a specialist knows what it learned from."""
AGAIN = 1.3
"""How many times the time of the proven fit is kept for the one on all rows."""
GRACE = 0.25
"""The share of what is kept for the end that short last fits may use when time ran short: more is
kept than was measured, and throwing a recipe away for a fit of a moment would be worse."""
MOMENT = 0.05
"""The share of the budget that short last fits may always use, however late it is: a machine that
other programs keep busy can use up all of the time before anything but guessing is left to fit."""
Where = Literal["test", "held-out", "out-of-fold"]


@dataclass(frozen=True)
class Judged:
    """One candidate on the proof rows: its scores (n, outputs) and how they become answers."""

    candidate: Candidate
    scores: Floats
    decision: Decision


@dataclass(frozen=True)
class Proof:
    """The one look at the rows that nothing was chosen by.

    `rows` are row numbers in `table` (the test table, or the training table), `targets` their
    encoded targets; `chosen` and `baselines` are judged on exactly these rows.
    """

    where: Where
    table: Table
    rows: Rows
    targets: NDArray[Any]
    chosen: Judged
    baselines: Mapping[str, Judged]

    @property
    def clusters(self) -> NDArray[np.int64] | None:
        """The groups of its rows, over which its intervals are; None where rows have none."""
        return clusters_of(self.table, self.rows)


@dataclass(frozen=True)
class Final:
    """What is handed over: the specialist, its decision rule, its frozen recipe, and the proof.

    `refitted` tells that the specialist learned from more rows than the one that was proven,
    `on_train` is the deciding metric with its interval on rows that it learned from, and `notes`
    are sentences on what did not go as it should have.
    """

    candidate: Candidate
    specialist: Specialist
    decision: Decision
    recipe: Recipe
    proof: Proof
    refitted: bool
    on_train: Finding | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What the final fits shall be.

    Args:
        test: rows of the user's own for the proof.
        refit: "all" fits the proven recipe once more, on all rows.
        costs: what errors cost, `costs[truth][answer]`.
        clock: the wall-clock.
        reserve: seconds kept for the bundle and the report.
    """

    test: Table | None
    refit: Literal["all", "none"]
    costs: tuple[tuple[float, ...], ...]
    clock: Clock
    reserve: float


def finals(race: Race, test: Table | None, refit: Literal["all", "none"]) -> int:
    """Return how many times the chosen recipe is fitted after the search."""
    return 2 if test is None and len(race.split.proof) and refit == "all" else 1


def decide(race: Race, candidate: Candidate, costs: tuple[tuple[float, ...], ...] = ()) -> Decision:
    """Fit calibration and thresholds on out-of-fold scores that selection did not use."""
    rows = race.calibrating_rows(candidate)
    scores, targets = race.scores(candidate, rows), race.targets[rows]
    kind = race.task.kind
    plain = Decision(kind, race.task.labels, costs=costs)
    decision = fit_calibration(scores, targets, plain, race.seed)
    if kind in {"binary", "multilabel"} and not costs:
        thresholds = fit_thresholds(scores, targets, decision, race.metric, race.seed)
        decision = replace(decision, thresholds=thresholds)
    rule = rule_of(candidate.recipe)
    return decision if rule is None else rule(decision, scores, targets, race.table.take(rows))


Rule = Callable[[Decision, Floats, NDArray[Any], Table], Decision]


def rule_of(recipe: Recipe) -> Rule | None:
    """Return what a recipe has to say about how scores become answers; None for nothing.

    A strategy that does says so with a method ``decided(decision, scores, targets, table)``.
    """
    strategy: Any = build(recipe.strategy, recipe.parameters)
    while strategy is not None:
        found: Rule | None = getattr(strategy, "decided", None)
        if found is not None:
            return found
        strategy = getattr(strategy, "inner", None)
    return None


def frozen_recipe(candidate: Candidate) -> Recipe:
    """The candidate's recipe with what its fits found out fixed."""
    return settle(candidate.recipe, [candidate.folds[k].notes for k in sorted(candidate.folds)])


def finish(race: Race, climb: Climb, wish: Wish) -> Iterator[Final]:
    """Fit frozen recipes and prove each: the chosen one first, then those that may replace it.

    Take the first, and another one only when the one before cannot be used. A recipe whose final
    fit fails, or finds no time, is passed over, which the notes of the next one say. Ends with
    DataError when none is left.
    """
    notes: list[str] = []
    for candidate in _in_turn(race, climb, wish):
        ending = _Ending(race, climb, candidate, wish)
        final = ending.run(tuple(notes))
        if final is not None:
            yield final
        notes.append(f"{candidate.name} did best, but {ending.reason}")
    raise DataError(f"no candidate could be fitted to the end ({'; '.join(notes)})")


def _in_turn(race: Race, climb: Climb, wish: Wish) -> Iterator[Candidate]:
    """The chosen candidate, then the others, best first, for which there is time by then."""
    yield climb.chosen
    fits = finals(race, wish.test, wish.refit) * growth(race, climb.folds)
    for other in ranked(race, climb.candidates, climb.rows, climb.folds):
        fitting = fits * longest(other) < _time_left(wish, fits * longest(other))
        if other is not climb.chosen and (fitting or other.recipe.strategy in CONSTANT):
            yield other


def _time_left(wish: Wish, needed: float) -> float:
    """The seconds that last fits may take, `needed` by what the folds took: what is not kept for
    the end, or, where that is too little, as much of it as they need, up to its spare part; a
    moment in any case."""
    free = wish.clock.left - wish.reserve
    moment = MOMENT * (wish.clock.budget or 0.0)
    return max(free, min(AGAIN * needed, max(free + GRACE * wish.reserve, moment)))


class _Ending:
    """The last fits of one candidate, and its look at the proof rows."""

    def __init__(self, race: Race, climb: Climb, chosen: Candidate, wish: Wish) -> None:
        self.race, self.climb, self.chosen, self.wish = race, climb, chosen, wish
        self.recipe, self.decision = frozen_recipe(chosen), decide(race, chosen, wish.costs)
        self.reason = "its bundle could not be written"
        self.notes: list[str] = []

    def run(self, notes: tuple[str, ...]) -> Final | None:
        """Fit and prove; None when the fit failed or found no time, which `reason` says."""
        self.notes += notes
        if self.wish.test is None and len(self.race.held):
            return self._on_held_rows()
        made = self._fit(self.chosen, self.recipe, None, "final", self._last_fits(1))
        if made is None:
            return None
        proof = self._out_of_fold() if self.wish.test is None else self._on(self.wish.test, made)
        return self._final(made, proof, refitted=self.wish.test is None)

    def _on_held_rows(self) -> Final | None:
        """Prove on the held-out share, then learn from it too, if that is wished for."""
        again = self.wish.refit == "all"
        free, began = self.race.free, time.monotonic()
        until = self._last_fits(2 if again else 1)
        made = self._fit(self.chosen, self.recipe, free, "proof", until)
        if made is None:
            return None
        fitted = time.monotonic()
        proof = self._on(self.race.table, made, self.race.held, free, fits_to_come=int(again))
        if not again:
            return self._final(made, proof, free, refitted=False)
        full = None
        if self._has_time_for(AGAIN * (fitted - began)):
            full = self._fit(self.chosen, self.recipe, None, "final", self._share(1))
        else:
            self.reason = "there was no time"
        if full is None:
            self.notes.append(
                f"the bundle holds the specialist that was measured: learning from the held-out "
                f"rows too did not work out ({self.reason})"
            )
        learned = free if full is None else None
        return self._final(full or made, proof, learned, refitted=full is not None)

    def _final(
        self, made: Specialist, proof: Proof, learned: Rows | None = None, *, refitted: bool
    ) -> Final:
        on_train = self._on_train(made, learned)
        notes = tuple(self.notes)
        return Final(
            self.chosen, made, self.decision, self.recipe, proof, refitted, on_train, notes
        )

    def _on_train(self, made: Specialist, learned: Rows | None) -> Finding | None:
        """The deciding metric on some rows that the specialist learned from."""
        race, some = self.race, self._some_of(learned)
        if self.wish.clock.left < self.wish.reserve:
            return None
        return self._measured(some, race.scores_of(made, some))

    def _measured(self, rows: Rows, scores: Floats) -> Finding:
        """The deciding metric on rows of the table."""
        race, clusters = self.race, clusters_of(self.race.table, rows)
        targets = race.targets[rows]
        return interval(race.metric, targets, scores, race.plain, seed=race.seed, clusters=clusters)

    def _some_of(self, learned: Rows | None) -> Rows:
        """Some rows of those that the specialist learned from."""
        race = self.race
        rows = np.arange(len(race.table)) if learned is None else learned
        rows = race.rows_for(self.recipe, rows)
        return np.sort(np.random.default_rng(race.seed).permutation(rows)[:ON_TRAIN])

    def _has_time_for(self, seconds: float) -> bool:
        return self.wish.clock.left - self.wish.reserve >= seconds

    def _last_fits(self, fits: int) -> float | None:
        """The instant by which the first of so many last fits of the recipe must have ended."""
        needed = fits * growth(self.race, self.climb.folds) * longest(self.chosen)
        return self.wish.clock.deadline(_time_left(self.wish, needed) / fits)

    def _share(self, fits: int) -> float | None:
        """The instant by which the next of so many fits must have ended."""
        clock = self.wish.clock
        return clock.deadline((clock.left - self.wish.reserve) / fits)

    def _fit(
        self,
        candidate: Candidate,
        recipe: Recipe,
        rows: Rows | None,
        name: str,
        deadline: float | None,
    ) -> Specialist | None:
        """Fit a recipe; None when that failed, and `reason` says why."""
        tried = replace(candidate, note="")
        place = f"{candidate.name}/{name}"
        made = self.race.attempt(
            tried, lambda: self.race.fit(recipe, rows, name=place, deadline=deadline)
        )
        if made is None:
            self.reason = f"its last fit did not end well: {tried.note}"
        elif deadline is not None and candidate is self.chosen and self._is_stunted(made, rows):
            self.reason = "its last fit found no time to learn what it had learned on the folds"
            return None
        return made

    def _is_stunted(self, made: Specialist, learned: Rows | None) -> bool:
        """Whether it does worse on rows that it has just seen than before on rows left out.

        A strategy that ends with what it has when its time is over may end with next to nothing.
        """
        race, rows = self.race, self.climb.rows
        some = self._some_of(learned)
        now = self._measured(some, race.scores_of(made, some))
        before = race.sign * race.value(self.chosen, rows)
        best = now.high if race.sign > 0 else now.low
        return best is not None and race.sign * best < race.sign * before

    def _on(
        self,
        table: Table,
        made: Specialist,
        rows: Rows | None = None,
        learned: Rows | None = None,
        fits_to_come: int = 0,
    ) -> Proof:
        """Judge the specialist, and the baselines fitted on the same rows, on rows of a table."""
        given = np.arange(len(table)) if rows is None else rows
        cache, seed = self.race.cache, self.race.seed
        seen, scores = score_until(made, table, given, cache, self._share(3 + fits_to_come), seed)
        if len(seen) < len(given):
            self.notes.append(
                f"measured on {len(seen):,} of {len(given):,} rows, drawn at random: the time "
                "allowed no more"
            )
        judged = {}
        others = self._baselines()
        for i, other in enumerate(others):
            deadline = self._share(len(others) - i + 2 * fits_to_come)
            fitted = self._fit(other, frozen_recipe(other), learned, "proof", deadline)
            if fitted is None:
                self.notes.append(f"{other.rung} is not among the proof: {self.reason}")
                continue
            own = fitted.scores(table.take(seen), cache)
            judged[other.rung] = Judged(other, own, decide(self.race, other, self.wish.costs))
        where: Where = "test" if rows is None else "held-out"
        targets = self.race.task.encode(table.take(seen))
        decision = at_rows(self.decision, table.take(seen))
        mine = Judged(self.chosen, scores, decision)
        return Proof(where, table, seen, targets, mine, judged)

    def _out_of_fold(self) -> Proof:
        """Judge by what fits that had not seen a row said of it."""
        race, costs = self.race, self.wish.costs
        rows = race.proving_rows(self.chosen)
        judged = {
            other.rung: Judged(other, race.scores(other, rows), decide(race, other, costs))
            for other in self._baselines()
        }
        decision = at_rows(self.decision, race.table.take(rows))
        mine = Judged(self.chosen, race.scores(self.chosen, rows), decision)
        return Proof("out-of-fold", race.table, rows, race.targets[rows], mine, judged)

    def _baselines(self) -> list[Candidate]:
        done = self.climb.finished()
        return [c for c in done if c.state == "baseline" and c is not self.chosen]
