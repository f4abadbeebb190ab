"""Climbing the ladder: what is tried, for how long, and which candidate is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from metier.data.splits import PROVE
from metier.errors import DataError
from metier.evidence.compare import Comparison, paired
from metier.evidence.metrics import interval
from metier.search.clock import Clock
from metier.search.ladder import Rung, next_rung
from metier.search.race import Candidate, Race
from metier.search.recipe import Recipe
from metier.search.samplers import Proposal, Studies
from metier.types import Rows

SMALL, MEDIUM = 1000, 3000
HOPELESS = 0.05
"""A candidate that is behind on the first fold with a smaller p than this is not fitted again."""
FEWEST_SECONDS = 3.0
MOST_TRIALS = 200


class Listener(Protocol):
    """Whoever wants to see how a search goes."""

    def stage(self, name: str) -> None: ...
    def trial(self, rung: str, parameters: Mapping[str, Any]) -> None: ...
    def best(self, name: str, value: float, low: float | None, high: float | None) -> None: ...


@dataclass(frozen=True)
class Limits:
    """What a search may use.

    Args:
        clock: the wall-clock; every fit must end before it does, the final fits included.
        reserve: gives the seconds kept for all that follows the search but the final fits.
        finals: how many times the chosen recipe is fitted again at the end.
        trials: number of searched candidates; None lets the clock decide.
    """

    clock: Clock
    reserve: Callable[[], float]
    finals: int
    trials: int | None = None


@dataclass
class Climb:
    """A search that ended: all candidates in order, the folds they share, and who won."""

    candidates: list[Candidate]
    folds: tuple[int, ...]
    rows: Rows
    chosen: Candidate
    ties: dict[str, Comparison] = field(default_factory=dict)
    """The candidates that cannot be told from the chosen one, by name."""

    def finished(self) -> list[Candidate]:
        """The candidates with a result on all shared folds."""
        return [c for c in self.candidates if all(k in c.folds for k in self.folds)]


def race_folds(race: Race) -> tuple[int, ...]:
    """The folds on which candidates meet: all when rows are few or the proof is out-of-fold."""
    n, k = len(race.table), len(race.split.folds)
    if n < SMALL or not _proof_elsewhere(race):
        return tuple(range(k))
    return tuple(range(min(k, 2 if n < MEDIUM else 1)))


def _proof_elsewhere(race: Race) -> bool:
    return not bool((race.split.purpose == PROVE).any())


def climb(
    race: Race,
    ladder: Sequence[Rung],
    studies: Studies,
    limits: Limits,
    listener: Listener,
    *,
    after_baselines: Callable[[Candidate], None] | None = None,
    prefer: Literal["best", "small"] = "best",
) -> Climb:
    """Try rungs until the time or the number of trials is over, and choose.

    `after_baselines` is called with the best candidate as soon as the baselines and the first
    cheap rung are done, so that a bundle can be written before anything dear begins.
    """
    folds = race_folds(race)
    rows = race.selecting_rows(folds)
    candidates: list[Candidate] = []
    closed: set[str] = set()
    searched = 0
    served = after_baselines is None
    while len(candidates) < MOST_TRIALS + len(ladder):
        rung = next_rung(ladder, _tried(candidates), _best(race, candidates, rows, folds), frozenset(closed))
        if rung is None or (limits.trials is not None and searched >= limits.trials and not rung.baseline):
            break
        if not rung.baseline and not served and _cheap_are_done(ladder, candidates):
            served = True
            assert after_baselines is not None
            after_baselines(_leader(race, candidates, rows, folds))
            continue
        proposal = studies.propose(rung.name, rung.space, rung.defaults)
        candidate = Candidate(
            f"{rung.name}-{proposal.number}",
            rung.name,
            Recipe(rung.strategy, rung.source, {**rung.fixed, **_searched(rung, proposal)}),
            state="baseline" if rung.baseline else "tried",
        )
        allowed = _seconds_allowed(limits, race, rung, candidates, folds)
        if allowed is not None and allowed < FEWEST_SECONDS and not rung.baseline:
            studies.tell(proposal, None)
            closed.add(rung.name)
            continue
        candidates.append(candidate)
        searched += not rung.baseline
        listener.trial(rung.name, candidate.recipe.parameters)
        leader = _leader_or_none(race, candidates, rows, folds)
        _fit_folds(race, candidate, folds, limits, allowed, studies, proposal, leader, rung)
        done = all(k in candidate.folds for k in folds)
        value = race.value(candidate, rows) if done else None
        studies.tell(proposal, value, failed=candidate.state == "failed")
        if not done and rung.baseline is False and candidate.note.startswith("out of time"):
            closed.add(rung.name)
        now = _leader_or_none(race, candidates, rows, folds)
        if now is not None and now is not leader:
            _announce(race, now, rows, listener)
        limits.clock.note()
    if not served and after_baselines is not None:
        after_baselines(_leader(race, candidates, rows, folds))
    return choose(race, candidates, folds, prefer)


def choose(
    race: Race,
    candidates: list[Candidate],
    folds: tuple[int, ...],
    prefer: Literal["best", "small"] = "best",
) -> Climb:
    """Choose on the shared selecting rows; name those that cannot be told from the best.

    With "small" the cheapest candidate that is not distinguishable from the best is chosen.
    Raises DataError when no candidate has a result.
    """
    rows = race.selecting_rows(folds)
    best = _leader(race, candidates, rows, folds)
    ties = _ties(race, candidates, best, rows, folds)
    chosen = best
    if prefer == "small" and ties:
        tied = [c for c in candidates if c.name in ties or c is best]
        chosen = min(tied, key=lambda c: (tied_cost(c), c.seconds))
        if chosen is not best:
            ties = _ties(race, candidates, chosen, rows, folds)
    return Climb(candidates, folds, rows, chosen, ties)


def tied_cost(candidate: Candidate) -> int:
    """How dear a candidate is at predict, in steps: counts and tables before networks."""
    cheap = {"majority": 0, "mean": 0, "linear": 1, "classical": 1, "boost": 2}
    return cheap.get(candidate.recipe.strategy, 3)


def _ties(
    race: Race, candidates: list[Candidate], best: Candidate, rows: Rows, folds: tuple[int, ...]
) -> dict[str, Comparison]:
    found = {}
    for other in candidates:
        if other is best or not all(k in other.folds for k in folds):
            continue
        comparison = _compare(race, best, other, rows)
        if comparison.verdict == "not distinguishable":
            found[other.name] = comparison
    return found


def _compare(race: Race, a: Candidate, b: Candidate, rows: Rows) -> Comparison:
    return paired(
        race.metric,
        race.targets[rows],
        race.scores(a, rows),
        race.scores(b, rows),
        race.plain,
        race.plain,
        seed=race.seed,
    )


def _announce(race: Race, leader: Candidate, rows: Rows, listener: Listener) -> None:
    scores, targets = race.scores(leader, rows), race.targets[rows]
    found = interval(race.metric, targets, scores, race.plain, seed=race.seed)
    if found.value is not None:
        listener.best(leader.name, found.value, found.low, found.high)


def _searched(rung: Rung, proposal: Proposal) -> dict[str, Any]:
    return {} if rung.baseline else dict(proposal.parameters)


def _tried(candidates: Sequence[Candidate]) -> dict[str, int]:
    found: dict[str, int] = {}
    for candidate in candidates:
        found[candidate.rung] = found.get(candidate.rung, 0) + 1
    return found


def _best(
    race: Race, candidates: Sequence[Candidate], rows: Rows, folds: tuple[int, ...]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for candidate in candidates:
        if all(k in candidate.folds for k in folds):
            value = race.value(candidate, rows)
            found[candidate.rung] = max(value, found.get(candidate.rung, -np.inf))
    return found


def _cheap_are_done(ladder: Sequence[Rung], candidates: Sequence[Candidate]) -> bool:
    """Whether all baselines and the first rung that is none have run."""
    tried = _tried(candidates)
    first = next((r for r in ladder if not r.baseline), None)
    needed = [r.name for r in ladder if r.baseline] + ([first.name] if first else [])
    return all(name in tried for name in needed)


def _leader(
    race: Race, candidates: Sequence[Candidate], rows: Rows, folds: tuple[int, ...]
) -> Candidate:
    found = _leader_or_none(race, candidates, rows, folds)
    if found is None:
        reasons = "; ".join(f"{c.name}: {c.note}" for c in candidates if c.note)
        raise DataError(f"no strategy could be fitted on these data ({reasons or 'nothing tried'})")
    return found


def _leader_or_none(
    race: Race, candidates: Sequence[Candidate], rows: Rows, folds: tuple[int, ...]
) -> Candidate | None:
    done = [c for c in candidates if all(k in c.folds for k in folds)]
    return max(done, key=lambda c: race.value(c, rows), default=None)


def _seconds_allowed(
    limits: Limits, race: Race, rung: Rung, candidates: Sequence[Candidate], folds: tuple[int, ...]
) -> float | None:
    """Seconds that one fit on one fold may take, so that all folds and the final fits follow."""
    if limits.clock.budget is None:
        return None
    left = limits.clock.left - limits.reserve() - _refits_of_baselines(race, candidates)
    train = np.mean([len(race.split.folds[k].train) for k in folds])
    growth = len(race.table) / max(float(train), 1.0)
    per_fit = left / (len(folds) + limits.finals * growth)
    known = [c for c in candidates if c.rung == rung.name and c.folds]
    if known:
        seconds = [r.seconds for c in known for r in c.folds.values()]
        if float(np.median(seconds)) > per_fit * 1.5:
            return 0.0
    return per_fit


def _refits_of_baselines(race: Race, candidates: Sequence[Candidate]) -> float:
    """Seconds that the baselines need on all rows for the proof."""
    if not len(race.split.folds):
        return 0.0
    return sum(
        1.3 * max((r.seconds for r in c.folds.values()), default=0.0)
        for c in candidates
        if c.state == "baseline"
    )


def _fit_folds(
    race: Race,
    candidate: Candidate,
    folds: tuple[int, ...],
    limits: Limits,
    allowed: float | None,
    studies: Studies,
    proposal: Proposal,
    leader: Candidate | None,
    rung: Rung,
) -> None:
    """Fit a candidate on the shared folds, one by one; stop when it is behind beyond noise."""
    report = studies.reporter(proposal)
    for position, fold in enumerate(folds):
        deadline = None if allowed is None else limits.clock.deadline(allowed)
        if rung.baseline:
            deadline = None
        first = position == 0
        ok = race.run_fold(
            candidate, fold, deadline=deadline, **({"report": report} if first else {})
        )
        limits.clock.note()
        if not ok:
            return
        last = position == len(folds) - 1
        if leader is not None and not rung.baseline and not last:
            rows = race.selecting_rows(folds[: position + 1])
            comparison = _compare(race, leader, candidate, rows)
            if comparison.difference > 0 and comparison.p < HOPELESS:
                candidate.state = "cut"
                candidate.note = f"behind {leader.name} on fold {fold + 1} (p {comparison.p:.3f})"
                return
