"""Making a finished specialist smaller and faster under limits that are measured.

Chains of compressing strategies are tried, gentle ones first. Each result is written as a bundle,
measured on this machine in turns with its parent, and compared with it on rows that neither
learned from (`metier.evidence.gate`). What is slower, or worse beyond what may be lost, is
rejected, and the reason is kept.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.cache import Cache
from metier.data.sensitive import at_rows
from metier.data.table import clusters_of
from metier.deploy.bundle import write_bundle
from metier.deploy.reference import HeldOut
from metier.errors import MetierError, Pruned
from metier.evidence.gate import Cost, Gate, PairCost, judge, measure_pair, told_of
from metier.evidence.metrics import interval
from metier.runtime.manifest import InputColumn
from metier.runtime.postprocess import Decision
from metier.search.clock import Clock
from metier.search.doubt import doubt_from
from metier.search.front import Limits, Shrunk, Side, megabytes
from metier.search.plans import Plan
from metier.search.race import told
from metier.types import Floats, Problem, Run, Specialist, Table, Task

FOR_MEASURING = 5.0
"""Seconds of a trial that are kept for writing and measuring its bundle."""
SURELY = 1.1
"""A plan that would be so many times too large is not tried: sizes told by weights are rough."""
ALIKE = 0.99
"""A plan that leaves so much of what a gentler one with the same steps leaves is not tried."""
COST_ROWS = 64
OUTLINE_ROWS = 128
"""Rows on which networks are cut to see how large they come out."""
PARITY_ROWS = 128
"""As many as it takes to know what is usual, which is part of the folder that is measured."""


@dataclass(frozen=True)
class Bout:
    """One place where parent and children meet.

    Args:
        parent: the specialist that is to become smaller.
        problem: what children may learn from.
        held: rows that none of them learned from.
        judging: (n,) which of the held rows judge; the others are only scored.
    """

    parent: Specialist
    problem: Problem
    held: Table
    judging: NDArray[np.bool_]


@dataclass
class Attempt:
    """One plan that was tried: what it made in each bout, the scores of all held rows and the
    seconds that took, and what became of it."""

    plan: Plan
    made: list[Specialist] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    shrunk: Shrunk | None = None


@dataclass(frozen=True)
class Arena:
    """Where the plans are tried.

    Args:
        task: of the specialist.
        metric: the deciding one.
        decision: from scores to answers, of parent and children, of whichever rows.
        bouts: at least one; bundles are written and measured for the first.
        folder: where bundles are written for measuring; emptied at the end.
        cache: what fits share.
        clock: the wall-clock.
        reserve: seconds that must be left when the last plan has been tried.
        seed: where random numbers come from.
        device: of networks.
        columns: the inputs as the parent's bundle knows them.
        unlabeled: further rows, without labels, for strategies that can learn from them.
        card: as long as the card that will be handed over: the whole folder is measured.
        facts: such as the bundle that is handed over will hold, for the same reason.
    """

    task: Task
    metric: str
    decision: Decision
    bouts: Sequence[Bout]
    folder: Path
    cache: Cache
    clock: Clock
    reserve: float
    seed: int = 0
    device: str = "cpu"
    columns: tuple[InputColumn, ...] | None = None
    unlabeled: Table | None = None
    card: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def targets(self) -> NDArray[Any]:
        """The encoded targets of the rows that judge, bout after bout."""
        return np.concatenate([self.task.encode(bout.held)[bout.judging] for bout in self.bouts])

    @property
    def clusters(self) -> NDArray[np.int64] | None:
        """The groups of these rows; None where they have none."""
        return clusters_in(self.bouts)

    @property
    def ruling(self) -> Decision:
        """The decision for these rows: each by its own group."""
        return at_rows(self.decision, _judging(self.bouts))

    def judged(self, scores: Sequence[Floats]) -> Floats:
        """Of the scores of all held rows, those of the rows that judge."""
        own = zip(scores, self.bouts, strict=True)
        return np.concatenate([each[bout.judging] for each, bout in own])


def clusters_in(bouts: Sequence[Bout]) -> NDArray[np.int64] | None:
    """Return the group of each row that judges, bout after bout; None where rows have none."""
    return clusters_of(_judging(bouts))


def _judging(bouts: Sequence[Bout]) -> Table:
    return _joined([bout.held.take(np.flatnonzero(bout.judging)) for bout in bouts])


def _joined(tables: Sequence[Table]) -> Table:
    return replace(tables[0], frame=pl.concat([each.frame for each in tables]))


def shrink(
    arena: Arena,
    plans: Sequence[Plan],
    limits: Limits,
    tell: Callable[[str], None],
) -> tuple[Side, list[Attempt]]:
    """Try plans until the time is over; return the parent's figures and every attempt.

    Nothing is tried where the parent is within limits as it is. `tell` hears the name of each plan
    before it is tried. What an attempt made is kept, so that any of them can be handed over. Raises
    ParityError or BundleError when not even the parent can be written.
    """
    ring = _Ring(arena, limits)
    try:
        if limits.given and limits.excess(ring.side()) <= 1:
            return ring.side(), []
        ordered = sorted(plans, key=lambda plan: (plan.trains, plan.cuts))
        uncut = sum(not plan.cuts and not plan.trains for plan in plans)
        skipped: dict[str, str] = {}
        for number, plan in enumerate(ordered):
            if number == uncut and limits.size is not None:
                tell("how small the others can get")
                skipped = ring.in_vain(ordered[number:], limits.size)
            waiting = sum(p.name not in skipped for p in ordered[number:])
            seconds = (arena.clock.left - arena.reserve) / max(waiting, 1)
            ring.attempts.append(Attempt(plan))
            reason = skipped.get(plan.name, "")
            if seconds < FOR_MEASURING:
                reason = reason or "no time was left to try it"
            if reason:
                ring.attempts[-1].shrunk = Shrunk(plan.name, "skipped", reason)
                continue
            tell(plan.name)
            ring.attempt(ring.attempts[-1], seconds)
        return ring.side(), ring.attempts
    finally:
        shutil.rmtree(arena.folder, ignore_errors=True)


class _Ring:
    """The parent, written and scored once, and those that have met it."""

    def __init__(self, arena: Arena, limits: Limits) -> None:
        self.arena, self.limits = arena, limits
        self.attempts: list[Attempt] = []
        self.parent = [b.parent.scores(b.held, arena.cache) for b in arena.bouts]
        self.home = arena.folder / "parent" / "specialist"
        self.seen: list[Cost] = []
        _write(arena, arena.bouts[0].parent, self.parent, self.home)
        self._bytes = sum(file.stat().st_size for file in self.home.iterdir())
        problem = arena.bouts[0].problem
        self._few = replace(problem, train=_spread(problem.train, OUTLINE_ROWS))

    def attempt(self, attempt: Attempt, seconds: float) -> None:
        """Fit a plan in every bout, write and measure its bundle, and let the gate decide."""
        began = time.monotonic()
        name = attempt.plan.name
        try:
            fit_plan(self.arena, attempt, seconds - FOR_MEASURING)
            place = self.arena.folder / f"plan-{len(self.attempts)}" / "specialist"
            _write(self.arena, attempt.made[0], attempt.scores, place)
            cost = measure_pair(self.home, place, _columns(self.arena))
        except Exception as error:
            # A strategy may be anybody's code, as in the race; only a full disk ends the run.
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            reason, spent = told(error), time.monotonic() - began
            attempt.made.clear()
            attempt.shrunk = Shrunk(name, "failed", reason, seconds=spent)
            return
        shutil.rmtree(place.parent)
        self.seen.append(cost.parent)
        gate = self._judge(attempt, cost)
        found = _side_of(self.arena, cost.child, self.arena.judged(attempt.scores))
        attempt.shrunk = Shrunk(
            name,
            "accepted" if gate.accepted else "rejected",
            gate.reason,
            found,
            *told_of(gate),
            meets=self.limits.excess(found) <= 1,
            seconds=time.monotonic() - began,
            unit=gate.unit,
        )

    def in_vain(self, plans: Sequence[Plan], limit: int) -> dict[str, str]:
        """Return why plans are not worth a try, by name.

        Some cannot meet the limit of size: training makes nothing smaller, so that is found without
        it. Where none can, the smallest is tried all the same, and the smallest of those that train
        nothing. Others leave what a gentler one leaves.
        """
        begun: dict[str, Specialist] = {}
        sizes = {plan.name: self._size(plan, begun) for plan in plans}
        over = {name: size for name, size in sizes.items() if size > SURELY * limit}
        if over and len(over) == len(sizes):
            untrained = [plan.name for plan in plans if not plan.trains]
            for names in (untrained, list(sizes)):
                if names:
                    over.pop(min(names, key=sizes.__getitem__), None)
        told = {
            name: f"would be about {megabytes(round(size))}, as was found without training it"
            for name, size in over.items()
        }
        tried = [plan for plan in plans if plan.name not in over]
        return told | {
            plan.name: f"would come out as {twin.name} does"
            for place, plan in enumerate(tried)
            if (twin := _twin(plan, tried[:place], sizes)) is not None
        }

    def _size(self, plan: Plan, known: dict[str, Specialist]) -> float:
        """Return the bytes that a plan will leave, by its weights; 0 where that cannot be told.

        `known` are networks that plans began with; those of this one are added.
        """
        bout, clock = self.arena.bouts[0], self.arena.clock
        ends = [a.shrunk.side for a in self.attempts if a.shrunk and a.plan.steps == plan.ending]
        whole = self._bytes if not plan.ending else next((s.bytes for s in ends if s), None)
        if whole is None or bout.parent.model is None:
            return 0.0
        run = Run(self.arena.cache, self.arena.seed, self.arena.device, clock.deadline(clock.left))
        cut = bout.parent
        try:
            for outline in plan.outlines():
                problem = self._few if outline.few else bout.problem
                cut = known.get(outline.name) or outline.strategy(cut, problem, run)
                known[outline.name] = cut
        except MetierError:  # trying it will tell what is wrong with it
            return 0.0
        assert cut.model is not None
        return whole * cut.model.parameters / bout.parent.model.parameters

    def side(self) -> Side:
        """Return the parent's figures, the median of all the times that it was measured."""
        if not self.seen:
            self.seen.append(measure_pair(self.home, self.home, _columns(self.arena)).parent)
        middle = sorted(self.seen, key=lambda cost: cost.latency)[len(self.seen) // 2]
        return _side_of(self.arena, middle, self.arena.judged(self.parent))

    def _judge(self, attempt: Attempt, cost: PairCost) -> Gate:
        return judge(
            cost,
            metric=self.arena.metric,
            targets=self.arena.targets,
            parent=self.arena.judged(self.parent),
            child=self.arena.judged(attempt.scores),
            decision=self.arena.ruling,
            max_loss=self.limits.loss,
            wanted=self.limits.wanted,
            seed=self.arena.seed,
            clusters=self.arena.clusters,
        )


def _twin(plan: Plan, earlier: Sequence[Plan], sizes: Mapping[str, float]) -> Plan | None:
    """The plan before it that takes the same steps and leaves as much, if there is one."""
    size, steps = sizes[plan.name], [step.strategy for step in plan.steps]
    for each in earlier:
        if [step.strategy for step in each.steps] == steps and 0 < size > ALIKE * sizes[each.name]:
            return each
    return None


def fit_plan(arena: Arena, attempt: Attempt, seconds: float) -> None:
    """Apply a plan in every bout, within so many seconds, and score the held rows.

    Raises what a strategy raises.
    """
    for position, bout in enumerate(arena.bouts):
        began = time.monotonic()
        spent = sum(attempt.seconds)
        deadline = arena.clock.deadline((seconds - spent) / (len(arena.bouts) - position))
        run = Run(cache=arena.cache, seed=arena.seed, device=arena.device, deadline=deadline)
        made = attempt.plan.build(arena.unlabeled)(bout.parent, bout.problem, run)
        scores = np.asarray(made.scores(bout.held, arena.cache))
        if not np.isfinite(scores).all():
            raise Pruned("its scores are not all numbers")
        attempt.made.append(made)
        attempt.scores.append(scores)
        attempt.seconds.append(time.monotonic() - began)


def _write(arena: Arena, made: Specialist, scores: Sequence[Floats], folder: Path) -> None:
    """Write a bundle for measuring, with all that one that is handed over holds."""
    first = arena.bouts[0]
    write_bundle(
        made,
        folder,
        decision=arena.decision,
        sample=_spread(_joined([bout.held for bout in arena.bouts]), PARITY_ROWS),
        card=arena.card,
        facts=arena.facts,
        table=first.problem.train,
        columns=arena.columns,
        held_out=HeldOut(scores[0], at_rows(arena.decision, first.held)),
        doubt=doubt_from(
            arena.judged(scores), arena.targets, arena.ruling, clusters=arena.clusters
        ),
    )


def _columns(arena: Arena) -> Mapping[str, Sequence[Any]]:
    return _spread(arena.bouts[0].held, COST_ROWS).columns()


def _spread(table: Table, most: int) -> Table:
    rows = np.linspace(0, len(table) - 1, min(most, len(table)))
    return table.take(np.unique(rows.astype(int)))


def _side_of(arena: Arena, cost: Cost, scores: Floats) -> Side:
    found = interval(
        arena.metric,
        arena.targets,
        scores,
        arena.ruling,
        seed=arena.seed,
        clusters=arena.clusters,
    )
    return Side(
        bytes=cost.bytes,
        latency=cost.latency,
        p95=cost.p95,
        latency_one=cost.latency_one,
        throughput=cost.throughput,
        memory=cost.memory,
        value=float("nan") if found.value is None else found.value,
        low=found.low,
        high=found.high,
        n=len(scores),
    )
