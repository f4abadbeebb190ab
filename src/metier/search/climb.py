"""Climbing the ladder: what is tried, for how long, and which candidate is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from metier.data.table import clusters_of
from metier.evidence.metrics import interval
from metier.search.choice import Climb, Prefer, choose, compare, finished, leader, value
from metier.search.ladder import Rung, next_rung
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from metier.search.samplers import Proposal, Studies
from metier.search.slots import Limits, shared_folds, slot

HOPELESS = 0.05
"""A candidate that is behind on the first fold with a smaller p than this is not fitted again."""
MOST_TRIALS = 200
"""Candidates under a budget: more would only fit the noise of the rows they are compared on."""
FIRST_FIT = 1.5
"""The first fit may take so many times its slot: what it computes is there for those after it."""
CONSTANT = ("majority", "mean")
"""Baselines that cost nothing, so that they are fitted whatever time is left."""


class Listener(Protocol):
    """Whoever wants to see how a search goes."""

    def trial(self, rung: str, parameters: Mapping[str, Any]) -> None: ...
    def best(self, name: str, value: float, low: float | None, high: float | None) -> None: ...


def climb(
    race: Race,
    ladder: Sequence[Rung],
    studies: Studies,
    limits: Limits,
    listener: Listener,
    *,
    after_cheap: Callable[[Candidate, Candidate], None] | None = None,
    prefer: Prefer = "best",
) -> Climb:
    """Try rungs until the time or the number of trials is over, and choose.

    What an earlier sitting had tried is taken up where it stopped. `after_cheap` is called once,
    as soon as the baselines and the first rung above them are done, with the best candidate and
    the largest one, so that a bundle can be written before anything dear begins.

    Raises DataError when no candidate has a result.
    """
    search = _Search(race, ladder, studies, limits, listener)
    search.take_up()
    while (rung := search.next_rung()) is not None:
        if after_cheap is not None and search.cheap_are_done():
            search.show(after_cheap)
            after_cheap = None
        search.try_once(rung)
    if after_cheap is not None:
        search.show(after_cheap)
    return choose(race, search.candidates, search.folds, prefer)


@dataclass
class _Search:
    """A search under way."""

    race: Race
    ladder: Sequence[Rung]
    studies: Studies
    limits: Limits
    listener: Listener
    candidates: list[Candidate] = field(default_factory=list)
    too_dear: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folds = shared_folds(self.race)
        self.rows = self.race.selecting_rows(self.folds)

    def take_up(self) -> None:
        """Find what an earlier sitting was done with; tell the studies what it could not."""
        for candidate in self.race.records.closed():
            self.candidates.append(candidate)
            self._tell(candidate, Proposal(candidate.rung, candidate.number, {}))

    def next_rung(self) -> Rung | None:
        """Return what to try next; None when the time, the trials or the ideas are over."""
        tried, best = self._tried(), self._best()
        closed = {
            rung.name
            for rung in self.ladder
            if tried.get(rung.name, 0) >= self.studies.room(rung.space, rung.defaults)
        }
        while True:
            rung = next_rung(self.ladder, tried, best, closed | self.too_dear)
            if rung is None or (self._enough() and not rung.baseline):
                return None
            if rung.strategy in CONSTANT or self._slot(rung) != 0.0:
                return rung
            self.too_dear.add(rung.name)

    def try_once(self, rung: Rung) -> None:
        """Fit one more candidate of a rung on the shared folds, and write down how it did."""
        proposal = self.studies.propose(rung.name, rung.space, rung.defaults)
        candidate = Candidate(
            f"{rung.name}-{proposal.number}",
            rung.name,
            Recipe(rung.strategy, rung.source, {**rung.fixed, **proposal.parameters}),
            state="baseline" if rung.baseline else "tried",
            number=proposal.number,
        )
        self.listener.trial(rung.name, candidate.recipe.parameters)
        ahead = self._leader()
        if not self._repeats(candidate):
            self._fit(candidate, rung, proposal, ahead)
        self.candidates.append(candidate)
        self.race.records.close(candidate, len(self.candidates))
        self._tell(candidate, proposal)
        if candidate.note.startswith("out of time"):
            self.too_dear.add(rung.name)
        self.limits.clock.note()
        self._announce(ahead)

    def cheap_are_done(self) -> bool:
        """Whether all baselines that there is time for and the first rung above them have run."""
        tried = self._tried()
        first = next((r for r in self.ladder if not r.baseline), None)
        needed = [r.name for r in self.ladder if r.baseline] + ([first.name] if first else [])
        return all(name in tried or name in self.too_dear for name in needed)

    def show(self, after_cheap: Callable[[Candidate, Candidate], None]) -> None:
        """Hand out the best candidate so far, and the largest that was fitted at all."""
        ahead = self._leader()
        if ahead is not None:
            after_cheap(ahead, max(self.candidates, key=lambda c: c.parameters))

    def _fit(
        self, candidate: Candidate, rung: Rung, proposal: Proposal, ahead: Candidate | None
    ) -> None:
        """Fit on the shared folds, one by one; stop when it is behind beyond noise."""
        report = self.studies.reporter(proposal)
        seconds = self._slot(rung)
        for position, fold in enumerate(self.folds):
            share = FIRST_FIT if position == 0 else 1.0
            deadline = None if seconds is None else self.limits.clock.deadline(share * seconds)
            watched = {"report": report} if position == 0 else {}
            if not self.race.run_fold(candidate, fold, deadline=deadline, **watched):
                return
            self.limits.clock.note()
            last = position == len(self.folds) - 1
            if ahead is not None and not rung.baseline and not last:
                rows = self.race.selecting_rows(self.folds[: position + 1])
                found = compare(self.race, ahead, candidate, rows)
                if found.difference > 0 and found.p < HOPELESS:
                    candidate.state = "cut"
                    candidate.note = f"behind {ahead.name} on fold {fold + 1} (p {found.p:.3f})"
                    return

    def _repeats(self, candidate: Candidate) -> bool:
        """Take over what the very same recipe did before; False when there was none."""
        twin = next((c for c in self.candidates if c.recipe == candidate.recipe), None)
        if twin is None:
            return False
        candidate.note = f"the same as {twin.name}"
        if twin.state in ("cut", "failed"):
            candidate.state = twin.state
        for fold, result in twin.folds.items():
            candidate.folds[fold] = self.race.records.write(candidate, fold, result)
        return True

    def _tell(self, candidate: Candidate, proposal: Proposal) -> None:
        done = all(k in candidate.folds for k in self.folds)
        found = value(self.race, candidate, self.rows) if done else None
        self.studies.tell(proposal, found, failed=candidate.state == "failed")

    def _announce(self, before: Candidate | None) -> None:
        now = self._leader()
        if now is None or now is before:
            return
        scores, targets = self.race.scores(now, self.rows), self.race.targets[self.rows]
        found = interval(
            self.race.metric,
            targets,
            scores,
            self.race.plain,
            seed=self.race.seed,
            clusters=clusters_of(self.race.table, self.rows),
        )
        if found.value is not None:
            self.listener.best(now.name, found.value, found.low, found.high)

    def _slot(self, rung: Rung) -> float | None:
        return slot(self.limits, self.race, rung, self.candidates, self._leader(), self.folds)

    def _enough(self) -> bool:
        baselines = {rung.name for rung in self.ladder if rung.baseline}
        if self.limits.trials is None:
            return len(self.candidates) >= MOST_TRIALS + len(self.ladder)
        return sum(c.rung not in baselines for c in self.candidates) >= self.limits.trials

    def _leader(self) -> Candidate | None:
        return leader(self.race, self.candidates, self.rows, self.folds)

    def _tried(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for candidate in self.candidates:
            found[candidate.rung] = found.get(candidate.rung, 0) + 1
        return found

    def _best(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for candidate in finished(self.candidates, self.folds):
            own = value(self.race, candidate, self.rows)
            found[candidate.rung] = max(own, found.get(candidate.rung, own))
        return found
