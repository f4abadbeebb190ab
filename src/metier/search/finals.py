"""After the race: the frozen recipe, its decision rule, and one look at the rows kept for proof."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.errors import DataError, Pruned
from metier.evidence.calibration import fit_temperature
from metier.evidence.thresholds import fit_thresholds
from metier.runtime.postprocess import Decision
from metier.search.clock import Clock
from metier.search.climb import Climb
from metier.search.race import Candidate, Race
from metier.search.recipe import Recipe, settle
from metier.types import Floats, Rows, Specialist, Table

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


@dataclass(frozen=True)
class Final:
    """What is handed over: the specialist, its decision rule, its frozen recipe, and the proof."""

    specialist: Specialist
    decision: Decision
    recipe: Recipe
    proof: Proof
    refitted: bool


def decide(
    race: Race, candidate: Candidate, costs: tuple[tuple[float, ...], ...] = ()
) -> Decision:
    """Fit temperature and thresholds on out-of-fold scores that selection did not use."""
    rows = race.calibrating_rows(candidate)
    scores, targets = race.scores(candidate, rows), race.targets[rows]
    kind = race.task.kind
    temperature = fit_temperature(scores, targets, kind)
    decision = Decision(kind, race.task.labels, temperature, costs=costs)
    if kind in {"binary", "multilabel"} and not costs:
        thresholds = fit_thresholds(scores, targets, decision, race.metric, race.seed)
        decision = Decision(kind, race.task.labels, temperature, thresholds)
    return decision


def frozen_recipe(candidate: Candidate) -> Recipe:
    """The candidate's recipe with what its fits found out fixed."""
    return settle(candidate.recipe, [candidate.folds[k].notes for k in sorted(candidate.folds)])


def finish(
    race: Race,
    climb: Climb,
    *,
    test: Table | None,
    clock: Clock,
    reserve: float,
    refit: Literal["all", "none"] = "all",
    costs: tuple[tuple[float, ...], ...] = (),
) -> Final:
    """Fit the frozen recipe, look at the proof rows once, and refit on all rows if asked.

    `reserve` seconds are kept for the bundle and the report. Should the chosen recipe not fit into
    what is left, the best cheaper one takes its place.
    """
    for chosen in (climb.chosen, *_cheaper(race, climb)):
        with contextlib.suppress(Pruned):
            return _finish(race, climb, chosen, test, clock, reserve, refit, costs)
    raise DataError("no candidate could be fitted in the time left: give a larger --budget")


def _cheaper(race: Race, climb: Climb) -> list[Candidate]:
    """The other candidates that took less time, best first, the baselines last."""
    others = [c for c in climb.finished() if c.seconds < climb.chosen.seconds]
    return sorted(others, key=lambda c: -race.value(c, climb.rows))


def _finish(
    race: Race,
    climb: Climb,
    chosen: Candidate,
    test: Table | None,
    clock: Clock,
    reserve: float,
    refit: Literal["all", "none"],
    costs: tuple[tuple[float, ...], ...],
) -> Final:
    recipe = frozen_recipe(chosen)
    decision = decide(race, chosen, costs)
    baselines = {
        c.rung: c for c in climb.finished() if c.state == "baseline" and c is not chosen
    }
    held = race.split.proof
    if test is not None:
        specialist = _fit(race, recipe, None, "final", clock, reserve, 1)
        proof = _on_table(race, test, specialist, chosen, decision, baselines, None, costs)
        return Final(specialist, decision, recipe, proof, refitted=False)
    if len(held):
        rows = np.setdiff1d(np.arange(len(race.table)), held)
        fits = 2 if refit == "all" else 1
        specialist = _fit(race, recipe, rows, "proof", clock, reserve, fits)
        table = race.table.take(held)
        proof = _on_table(race, table, specialist, chosen, decision, baselines, rows, costs)
        if refit == "all":
            specialist = _fit(race, recipe, None, "final", clock, reserve, 1)
        return Final(specialist, decision, recipe, proof, refitted=refit == "all")
    rows = race.proving_rows(chosen)
    judged = {name: _out_of_fold(race, c, rows, costs) for name, c in baselines.items()}
    mine = Judged(chosen, race.scores(chosen, rows), decision)
    proof = Proof("out-of-fold", race.table, rows, race.targets[rows], mine, judged)
    specialist = _fit(race, recipe, None, "final", clock, reserve, 1)
    return Final(specialist, decision, recipe, proof, refitted=True)


def _fit(
    race: Race,
    recipe: Recipe,
    rows: Rows | None,
    name: str,
    clock: Clock,
    reserve: float,
    fits: int,
) -> Specialist:
    """Fit the recipe within its share of the time that is left."""
    deadline = clock.deadline((clock.left - reserve) / fits)
    return race.fit(recipe, rows, name=name, deadline=deadline)


def _on_table(
    race: Race,
    table: Table,
    specialist: Specialist,
    chosen: Candidate,
    decision: Decision,
    baselines: Mapping[str, Candidate],
    rows: Rows | None,
    costs: tuple[tuple[float, ...], ...],
) -> Proof:
    """Judge the specialist and the baselines, fitted on the same rows, on a table."""
    judged = {}
    for name, candidate in baselines.items():
        fitted = race.fit(frozen_recipe(candidate), rows, name=f"proof-{name}")
        judged[name] = Judged(
            candidate, fitted.scores(table, race.cache), decide(race, candidate, costs)
        )
    mine = Judged(chosen, specialist.scores(table, race.cache), decision)
    where: Where = "held-out" if rows is not None else "test"
    return Proof(where, table, np.arange(len(table)), race.task.encode(table), mine, judged)


def _out_of_fold(
    race: Race, candidate: Candidate, rows: Rows, costs: tuple[tuple[float, ...], ...]
) -> Judged:
    return Judged(candidate, race.scores(candidate, rows), decide(race, candidate, costs))
