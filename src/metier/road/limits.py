"""The stage "fit limits": the chosen recipe made smaller until the user's device can hold it.

The chains are tried on what the recipe's own folds made, judged on the rows that calibrate (the
selection did not use them), and the one that is taken becomes part of the recipe: it is proven and
refitted with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metier.cache import write_aside
from metier.report.content import compression_from_json, to_json
from metier.search.choice import Climb, compare
from metier.search.clock import Clock
from metier.search.finals import decide
from metier.search.front import Compression, Limits, Side, conclude
from metier.search.plans import plans
from metier.search.race import Race
from metier.search.recipe import Recipe, notes_of
from metier.search.records import Candidate, FoldResult
from metier.search.shrink import FOR_MEASURING, Arena, Attempt, Bout, fit_plan, shrink
from metier.search.slots import growth, longest
from metier.types import Finding, Problem

SHARE = 0.35
"""Of a budget, what is kept for meeting the limits."""
DECIDED = "compression.json"
"""Latencies are measured: what they decided is written down, and a resumed run asks no more."""


@dataclass(frozen=True)
class Fitting:
    """What fitting a recipe to limits needs to know.

    Args:
        race: the race that the recipe won.
        limits: of size, latency and loss.
        clock: the wall-clock.
        reserve: gives the seconds kept for bundle and report.
        finals: how many times the recipe is fitted again at the end.
        costs: what errors cost.
        folder: the run folder.
    """

    race: Race
    limits: Limits
    clock: Clock
    reserve: Callable[[], float]
    finals: int
    costs: tuple[tuple[float, ...], ...]
    folder: Path


def fit_limits(
    fitting: Fitting, climb: Climb, tell: Callable[[str], None]
) -> tuple[Climb, Compression | None]:
    """Return the search with the chosen recipe made smaller, and what was tried for it.

    None when there was no time to try anything. `tell` hears what is tried.
    """
    race, chosen = fitting.race, climb.chosen
    known = _known(fitting.folder)
    if known is None and not _has_time(fitting, climb):
        return climb, None
    bouts = _bouts(fitting, climb)
    form = bouts[0].parent.form
    tried = plans(form, race.table.roles.modality)
    arena = _arena(fitting, climb, bouts)
    if known is not None:
        attempts = [Attempt(plan) for plan in tried if plan.name == known.chosen]
        for attempt in attempts:
            tell(attempt.plan.name)
            fit_plan(arena, attempt)
        found = known
    else:
        side, attempts = shrink(arena, tried, fitting.limits, tell)
        shrunk = [a.shrunk for a in attempts if a.shrunk is not None]
        found = conclude(fitting.limits, side, shrunk)
        write_aside(fitting.folder / DECIDED, json.dumps(to_json(found), indent=1).encode())
    taken = next((a for a in attempts if a.made and a.plan.name == found.chosen), None)
    if taken is None:
        return climb, found
    return _with(race, climb, _candidate(climb, chosen, taken)), found


def as_delivered(
    found: Compression | None, limits: Limits, cost: Sequence[Finding], proof: Finding | None
) -> Compression:
    """Check the limits on the bundle that is handed over, which was refitted on all rows.

    Args:
        found: what was tried; None when there was no time to try anything.
        limits: what was asked for.
        cost: what the bundle costs.
        proof: the deciding metric as it was proven.
    """
    named = {each.name: each for each in cost}

    def measured(name: str) -> float:
        return (named[name].value or 0.0) if name in named else 0.0

    p95 = named["latency"].details.get("p95", 0.0) if "latency" in named else 0.0
    side = Side(
        bytes=int(measured("size")),
        latency=measured("latency"),
        p95=p95,
        latency_one=None,
        throughput=measured("throughput"),
        memory=int(measured("peak_memory")) or None,
        value=float("nan") if proof is None or proof.value is None else proof.value,
        low=None if proof is None else proof.low,
        high=None if proof is None else proof.high,
        n=0 if proof is None or proof.n is None else proof.n,
    )
    if found is None:
        told = conclude(limits, side, ())
        late = (
            "" if told.met else " (there was no time to try smaller ones: give a larger --budget)"
        )
        return replace(told, verdict=f"{told.verdict}{late}")
    if not found.met or limits.excess(side) <= 1:
        return found
    told_of = f"the bundle as it was fitted in the end takes {side.told()}, and {limits.told()}"
    return replace(found, met=False, verdict=f"{told_of} was asked for ({found.verdict})")


def _has_time(fitting: Fitting, climb: Climb) -> bool:
    """Whether the parents can be fitted once more, and something tried on them."""
    parents = sum(climb.chosen.folds[k].seconds for k in climb.folds)
    left = fitting.clock.left - fitting.reserve() - _last_fits(fitting, climb)
    return left > parents + 2 * FOR_MEASURING


def _last_fits(fitting: Fitting, climb: Climb) -> float:
    """Seconds that fitting the recipe on all rows takes, what makes it smaller included."""
    return 2 * fitting.finals * growth(fitting.race, climb.folds) * longest(climb.chosen)


def _known(folder: Path) -> Compression | None:
    """What an earlier sitting had decided."""
    path = folder / DECIDED
    if not path.exists():
        return None
    return compression_from_json(json.loads(path.read_text(encoding="utf-8")))


def _bouts(fitting: Fitting, climb: Climb) -> list[Bout]:
    """Fit the chosen recipe on its folds once more, for children to start from."""
    race, chosen = fitting.race, climb.chosen
    judging = np.isin(np.arange(len(race.table)), race.calibrating_rows(chosen))
    found = []
    for k in climb.folds:
        fold = race.split.folds[k]
        made = race.fit(chosen.recipe, fold.train, name=f"{chosen.name}/limits-{k}")
        learned = race.rows_for(chosen.recipe, fold.train)
        problem = Problem(race.task, race.table.take(learned))
        found.append(Bout(made, problem, race.table.take(fold.valid), judging[fold.valid]))
    return found


def _arena(fitting: Fitting, climb: Climb, bouts: list[Bout]) -> Arena:
    race = fitting.race
    return Arena(
        task=race.task,
        metric=race.metric,
        decision=decide(race, climb.chosen, fitting.costs),
        bouts=bouts,
        folder=fitting.folder / "limits",
        cache=race.cache,
        clock=fitting.clock,
        reserve=fitting.reserve() + _last_fits(fitting, climb),
        seed=race.seed,
        device=race.device,
    )


def _candidate(climb: Climb, chosen: Candidate, taken: Attempt) -> Candidate:
    """The recipe with the chain behind it, as a candidate that ran on the same folds."""
    recipe: Recipe = chosen.recipe.followed_by(taken.plan.steps)
    found = replace(chosen, name=f"{chosen.name}-small", recipe=recipe, state="tried", folds={})
    own = zip(climb.folds, taken.made, taken.scores, taken.seconds, strict=True)
    for k, made, scores, seconds in own:
        found.folds[k] = FoldResult(
            scores,
            seconds=chosen.folds[k].seconds + seconds,
            scoring=chosen.folds[k].scoring,
            parameters=0 if made.model is None else made.model.parameters,
            notes=notes_of(made),
        )
    return found


def _with(race: Race, climb: Climb, child: Candidate) -> Climb:
    ties = dict(climb.ties)
    against = compare(race, child, climb.chosen, climb.rows)
    if against.verdict == "not distinguishable":
        ties[climb.chosen.name] = against
    return replace(climb, candidates=[*climb.candidates, child], chosen=child, ties=ties)


def reserve_for(limits: Limits, budget: float | None) -> float:
    """Return the seconds that a search must leave for meeting limits."""
    return SHARE * budget if limits.given and budget is not None else 0.0
