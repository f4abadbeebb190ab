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
from typing import get_args

import numpy as np

from metier.cache import write_aside
from metier.errors import Pruned
from metier.report.card import as_long_as_a_card
from metier.report.content import compression_from_json, to_json
from metier.road.labelled import role_facts
from metier.search.choice import Climb, compare
from metier.search.clock import Clock
from metier.search.finals import decide
from metier.search.front import Compression, Limits, Side, conclude, megabytes
from metier.search.plans import Plan, plans
from metier.search.race import Race
from metier.search.recipe import notes_of
from metier.search.records import Candidate, FoldResult
from metier.search.shrink import FOR_MEASURING, Arena, Attempt, Bout, shrink
from metier.search.slots import growth, longest
from metier.types import Finding, Form, Problem

SHARE = 0.35
"""Of a budget, what is kept for meeting the limits."""
NEARLY = 0.1
"""How far the size of the bundle may be from what was measured on the folds before it is told."""
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
    race, known = fitting.race, _known(fitting.folder)
    if known is not None and not known.chosen:
        return climb, known
    before = None if known is None else _recalled(race, climb, known.chosen)
    if before is not None:
        return _with(race, climb, before), known
    bouts = _bouts(fitting, climb) if _has_time(fitting, climb) else None
    if bouts is None:
        return climb, None
    tried = plans(bouts[0].parent.form, race.table.roles.modality)
    side, attempts = shrink(_arena(fitting, climb, bouts), tried, fitting.limits, tell)
    found = conclude(fitting.limits, side, [a.shrunk for a in attempts if a.shrunk is not None])
    taken = next((a for a in attempts if a.made and a.plan.name == found.chosen), None)
    child = None if taken is None else _kept(race, climb, taken)
    write_aside(fitting.folder / DECIDED, json.dumps(to_json(found), indent=1).encode())
    return climb if child is None else _with(race, climb, child), found


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
        return _with_size_told(found, side)
    told_of = f"the bundle as it was fitted in the end takes {side.told()}, and {limits.told()}"
    return replace(found, met=False, verdict=f"{told_of} was asked for ({found.verdict})")


def _with_size_told(found: Compression, side: Side) -> Compression:
    """What was found, and the size of the bundle where the last fit came out as another one."""
    sides = {"": found.parent, **{each.name: each.side for each in found.tried}}
    tried = sides.get(found.chosen)
    if tried is None or abs(side.bytes / tried.bytes - 1) <= NEARLY:
        return found
    told = f"the bundle as it was fitted in the end takes {megabytes(side.bytes)}"
    return replace(found, verdict=f"{found.verdict}; {told}")


def _has_time(fitting: Fitting, climb: Climb) -> bool:
    """Whether the parents can be fitted once more, and something tried on them."""
    parents = sum(climb.chosen.folds[k].seconds for k in climb.folds)
    return _left(fitting, climb) > parents


def _left(fitting: Fitting, climb: Climb) -> float:
    """Seconds for the parents, so that something can be tried on them and the recipe refitted."""
    kept = fitting.reserve() + _last_fits(fitting, climb) + 2 * FOR_MEASURING
    return fitting.clock.left - kept


def _last_fits(fitting: Fitting, climb: Climb) -> float:
    """Seconds that fitting the recipe on all rows takes, what makes it smaller included."""
    return 2 * fitting.finals * growth(fitting.race, climb.folds) * longest(climb.chosen)


def _known(folder: Path) -> Compression | None:
    """What an earlier sitting had decided."""
    path = folder / DECIDED
    if not path.exists():
        return None
    return compression_from_json(json.loads(path.read_text(encoding="utf-8")))


def _bouts(fitting: Fitting, climb: Climb) -> list[Bout] | None:
    """Fit the chosen recipe on its folds once more, for children to start from; None when that
    took longer than there was time."""
    race, chosen = fitting.race, climb.chosen
    judging = np.isin(np.arange(len(race.table)), race.calibrating_rows(chosen))
    found: list[Bout] = []
    for k in climb.folds:
        fold, name = race.split.folds[k], f"{chosen.name}/limits-{k}"
        share = _left(fitting, climb) / (len(climb.folds) - len(found))
        deadline = fitting.clock.deadline(share)
        try:
            made = race.fit(chosen.recipe, fold.train, name=name, deadline=deadline)
        except Pruned:
            race.records.forget_checkpoints(name)
            return None
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
        card=as_long_as_a_card(len(race.task.labels), len(race.table.roles.inputs)),
        facts={
            "metric": race.metric,
            "recipe": climb.chosen.recipe.to_json(),
            **role_facts(race.table.roles),
        },
    )


def _candidate(chosen: Candidate, plan: Plan) -> Candidate:
    """The recipe with a chain behind it, as a candidate of its own."""
    recipe = chosen.recipe.followed_by(plan.steps)
    return replace(chosen, name=f"{chosen.name}-small", recipe=recipe, state="tried", folds={})


def _kept(race: Race, climb: Climb, taken: Attempt) -> Candidate:
    """What was taken, as a candidate that ran on the same folds; written down for a later sitting,
    which then needs no fit to have it."""
    chosen = climb.chosen
    found = _candidate(chosen, taken.plan)
    own = zip(climb.folds, taken.made, taken.scores, taken.seconds, strict=True)
    for k, made, scores, seconds in own:
        result = FoldResult(
            scores,
            seconds=chosen.folds[k].seconds + seconds,
            scoring=chosen.folds[k].scoring,
            parameters=0 if made.model is None else made.model.parameters,
            notes=notes_of(made),
        )
        found.folds[k] = race.records.write(found, k, result)
    return found


def _recalled(race: Race, climb: Climb, name: str) -> Candidate | None:
    """The candidate that an earlier sitting took, by the name of its plan; None when that was not
    written down, or of another recipe."""
    forms: tuple[Form, ...] = get_args(Form)
    every = [plan for form in forms for plan in plans(form, race.table.roles.modality)]
    plan = next((plan for plan in every if plan.name == name), None)
    if plan is None:
        return None
    found = _candidate(climb.chosen, plan)
    return found if all(race.recall(found, k) for k in climb.folds) else None


def _with(race: Race, climb: Climb, child: Candidate) -> Climb:
    ties = dict(climb.ties)
    against = compare(race, child, climb.chosen, climb.rows)
    if against.verdict == "not distinguishable":
        ties[climb.chosen.name] = against
    return replace(climb, candidates=[*climb.candidates, child], chosen=child, ties=ties)


def reserve_for(limits: Limits, budget: float | None) -> float:
    """Return the seconds that a search must leave for meeting limits."""
    return SHARE * budget if limits.given and budget is not None else 0.0
