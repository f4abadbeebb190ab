"""The stage "keep groups together": the chosen recipe made fairer until the limit is met.

What makes it fairer wraps the recipe and is fitted on the same folds. The rows that selected judge
it, decision rules come from the rows that calibrate, and the most accurate candidate within the
limit becomes the recipe: it is proven and refitted as any other. Rows of the proof choose nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metier.cache import write_aside
from metier.data.sensitive import at_rows, groups_of
from metier.data.table import clusters_of
from metier.evidence.answers import answers_of
from metier.evidence.compare import paired
from metier.evidence.fairness.disparity import disparities, worst
from metier.evidence.fairness.served import Served
from metier.evidence.gate import measure_loss, told_of
from metier.evidence.metrics import interval
from metier.evidence.words import points
from metier.report.content import to_json, tradeoff_from_json
from metier.search.choice import Climb, compare
from metier.search.clock import Clock
from metier.search.finals import decide
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from metier.search.slots import growth, longest
from metier.search.tradeoff import Fairness, Point, Tradeoff, conclude
from metier.search.wrapping import within

SHARE = 0.35
"""Of a budget, what is kept for keeping to the limit."""
DECIDED = "tradeoff.json"
STRENGTHS = {"constrain": (0.5, 0.2, 1.0, 2.0), "reweigh": (1.0, 0.5)}
"""What is tried, and how hard it presses; in this order, so that little time tries both kinds."""
PRESSED = re.compile(r"constrain\(strength=([0-9.e+-]+)\)")
CLOSE = 1.15
"""Strengths nearer to each other than this are the same."""
SLACKS = (1.0, 0.5, 0.0)
"""Thresholds by group are fitted to these shares of the limit."""
REFINED = 2
"""How many times it is tried to press a little less hard than what keeps to the limit."""
SLOWER = 1.5
"""How many times the time of the recipe itself a fairer one may take."""


@dataclass(frozen=True)
class Fairing:
    """What keeping to a limit needs to know; see `road.limits.Fitting`."""

    race: Race
    asked: Fairness
    clock: Clock
    reserve: Callable[[], float]
    finals: int
    costs: tuple[tuple[float, ...], ...]
    folder: Path


@dataclass(frozen=True)
class _Way:
    """One way of making a recipe fairer. With `refits` its folds are fitted anew."""

    strategy: str
    parameters: Mapping[str, Any]
    refits: bool = True

    @property
    def name(self) -> str:
        """The strategy with how hard it presses."""
        key = "limit" if self.strategy == "threshold" else "strength"
        return f"{self.strategy}({key}={self.parameters[key]:g})"


def make_fairer(
    fairing: Fairing, climb: Climb, tell: Callable[[str], None]
) -> tuple[Climb, Tradeoff]:
    """Return the search with a recipe within the limit, and what was tried for it.

    Nothing is tried where the chosen recipe is within the limit as it is. `tell` hears what is
    tried.
    """
    race, chosen = fairing.race, climb.chosen
    known = _known(fairing.folder)
    found = _all_tried(fairing, climb, known, tell)
    if known is not None and not any(p.name == known.chosen and c.folds for p, c in found):
        # What was decided cannot be had again: what can be had decides anew.
        known, found = None, _all_tried(fairing, climb, None, tell)
    higher, tried = race.sign > 0, [point for point, _ in found]
    told = known or conclude(fairing.asked, race.metric, higher, tried)
    write_aside(fairing.folder / DECIDED, json.dumps(to_json(told), indent=1).encode())
    taken = next((c for point, c in found if point.name == told.chosen and c.folds), chosen)
    if taken is chosen:
        return climb, told
    ties = dict(climb.ties)
    against = compare(race, taken, chosen, climb.rows)
    if against.verdict == "not distinguishable":
        ties[chosen.name] = against
    others = [candidate for _, candidate in found[1:] if candidate.folds]
    candidates = [*climb.candidates, *others]
    return replace(climb, candidates=candidates, chosen=taken, ties=ties), told


def _all_tried(
    fairing: Fairing, climb: Climb, known: Tradeoff | None, tell: Callable[[str], None]
) -> list[tuple[Point, Candidate]]:
    """Try every way, then to press a little less hard; of what is known only the chosen way."""
    found = [(_point("", fairing, climb, climb.chosen), climb.chosen)]
    if found[0][0].meets:
        return found

    def attempt(way: _Way) -> None:
        tell(f"{way.strategy}({climb.chosen.name})")
        found.append(_try(way, fairing, climb))

    for way in _ways(fairing.asked, fairing.race, known):
        if known is None or way.name == known.chosen:
            attempt(way)
    for _ in range(REFINED if known is None else 0):
        strength = _between([point for point, _ in found])
        if strength is not None:
            attempt(_Way("constrain", {"strength": strength, "disparity": fairing.asked.kind}))
    return found


def _between(tried: Sequence[Point]) -> float | None:
    """Return a strength between the hardest that breaks the limit and the softest that keeps it."""
    kept: dict[bool, list[float]] = {True: [], False: []}
    for point in tried:
        match = PRESSED.fullmatch(point.name)
        if match is not None and point.state == "tried":
            kept[point.meets].append(float(match[1]))
    softest = min(kept[True], default=None)
    below = [each for each in kept[False] if softest is not None and each < softest]
    if softest is None or not below or softest / max(below) < CLOSE:
        return None
    return float(f"{math.sqrt(softest * max(below)):.3g}")


def _known(folder: Path) -> Tradeoff | None:
    """What an earlier sitting had decided: it may have had the time for more."""
    path = folder / DECIDED
    if not path.exists():
        return None
    return tradeoff_from_json(json.loads(path.read_text(encoding="utf-8")))


def _ways(asked: Fairness, race: Race, known: Tradeoff | None) -> list[_Way]:
    """What is tried, in its order: what costs no fit first, then both kinds by turns."""
    kind, binary = asked.kind, race.task.kind == "binary"
    found: list[_Way] = []
    if asked.by_group and binary:
        found += [
            _Way("threshold", {"limit": share * (asked.limit or 0.0), "disparity": kind}, False)
            for share in SLACKS
        ]
    strengths = list(STRENGTHS["constrain"])
    before = PRESSED.fullmatch("" if known is None else known.chosen)
    if before is not None and float(before[1]) not in strengths:
        strengths.append(float(before[1]))
    pressed = [_Way("constrain", {"strength": s, "disparity": kind}) for s in strengths]
    weighed = [_Way("reweigh", {"strength": s}) for s in STRENGTHS["reweigh"]]
    first, *rest = weighed
    return [*found, first, *(pressed if binary else []), *rest]


def _try(way: _Way, fairing: Fairing, climb: Climb) -> tuple[Point, Candidate]:
    """Fit one way on the shared folds and judge it."""
    race, chosen = fairing.race, climb.chosen
    candidate = _candidate(way, chosen)
    if not way.refits:
        candidate.folds |= {k: chosen.folds[k] for k in climb.folds}
        return _point(way.name, fairing, climb, candidate), candidate
    seconds = _slot(fairing, climb)
    done = all(race.recall(candidate, fold) for fold in climb.folds)
    if not done and seconds is not None and seconds < SLOWER * longest(chosen):
        candidate.folds.clear()
        return Point(way.name, "skipped", "there was no time"), candidate
    for fold in climb.folds:
        deadline = None if seconds is None else fairing.clock.deadline(seconds)
        if not race.run_fold(candidate, fold, deadline=deadline):
            candidate.folds.clear()
            return Point(way.name, "failed", candidate.note), candidate
    return _point(way.name, fairing, climb, candidate), candidate


def _slot(fairing: Fairing, climb: Climb) -> float | None:
    """Seconds that one fit may take; None without a clock."""
    if fairing.clock.budget is None:
        return None
    last = SLOWER * fairing.finals * growth(fairing.race, climb.folds) * longest(climb.chosen)
    return (fairing.clock.left - fairing.reserve() - last) / len(climb.folds)


def _candidate(way: _Way, chosen: Candidate) -> Candidate:
    """The chosen recipe inside of a strategy that makes it fairer."""
    recipe = chosen.recipe
    wrapped = Recipe(
        f"{way.strategy}({recipe.strategy})",
        recipe.source,
        {**way.parameters, **within(recipe.parameters)},
        recipe.then,
    )
    name = f"{chosen.name}-{way.name}".replace("(", "-").replace(")", "").replace("=", "-")
    return Candidate(name, way.strategy, wrapped)


def _point(name: str, fairing: Fairing, climb: Climb, candidate: Candidate) -> Point:
    """Judge a candidate on the rows that selected, by the rule that it would get."""
    race, asked, rows = fairing.race, fairing.asked, climb.rows
    scores, targets = race.scores(candidate, rows), race.targets[rows]
    table = race.table.take(rows)
    rule = at_rows(decide(race, candidate, fairing.costs), table)
    clusters = clusters_of(table)
    value = interval(race.metric, targets, scores, rule, seed=race.seed, clusters=clusters)
    answers = answers_of(targets, scores, rule)
    groups = groups_of(table)
    measured = disparities(answers, groups, seed=race.seed, clusters=clusters)
    found = worst(measured, list(groups), asked.kind)
    limit = asked.limit or 0.0
    apart = None if found is None else found.value
    point = Point(
        name,
        value=value.value,
        low=value.low,
        high=value.high,
        apart=apart,
        apart_low=None if found is None else found.low,
        apart_high=None if found is None else found.high,
        column="" if found is None else str(found.details["column"]),
        n=len(rows),
        meets=apart is None or apart <= limit,
    )
    if candidate is climb.chosen:
        return point
    before = race.scores(climb.chosen, rows)
    was = at_rows(decide(race, climb.chosen, fairing.costs), table)
    lost = measure_loss(
        paired(race.metric, targets, scores, before, rule, was, seed=race.seed, clusters=clusters)
    )
    amount, least, most = told_of(lost)
    return replace(point, lost=amount, lost_low=least, lost_high=most)


def as_proven(found: Tradeoff, served: Served) -> Tradeoff:
    """Say what the rows of the proof say of the limit; it is not met where they rule it out for any
    of the columns, however far the others lie apart."""
    limit, kind = found.asked.limit or 0.0, found.asked.kind
    beyond = [each for each in served.disparities if each.low is not None and each.low > limit]
    ruled_out = worst(beyond, served.columns, kind)
    proof = ruled_out or worst(served.disparities, served.columns, kind)
    if proof is None or proof.value is None or proof.low is None or proof.high is None:
        told = f"{found.verdict}. On the rows of the proof no two groups can be judged"
        return replace(found, verdict=told)
    figures = (
        f"{points(proof.value)} points by {proof.details['column']} ({points(proof.low)} to "
        f"{points(proof.high)}, {proof.n:,} rows)"
    )
    if found.met and ruled_out is not None:
        told = (
            f"{found.verdict}. On the rows of the proof it is {figures}, which is beyond the limit"
        )
        return replace(found, met=False, verdict=told, proof=proof)
    where = "within it" if proof.value <= limit else "beyond it, and noise can be why"
    if not found.met:
        where = "within the limit" if proof.value <= limit else "beyond the limit"
    told = f"{found.verdict}. On the rows of the proof it is {figures}: {where}"
    return replace(found, verdict=told, proof=proof)


def reserve_for(asked: Fairness, budget: float | None) -> float:
    """Return the seconds that a search must leave for keeping to a limit."""
    return SHARE * budget if asked.limit is not None and budget is not None else 0.0
