"""Hybrid specialisation: for each task, a network of its own or one that it shares.

Both ways are tried with the same settings on the same folds; out-of-fold answers choose the setting
of each way and, for each task, the way. What is chosen is fitted once more on all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache
from metier.data.table import clusters_of
from metier.errors import DataError, Pruned
from metier.evidence.compare import Comparison, paired
from metier.evidence.metrics import Metric, measure
from metier.evidence.metrics import find as find_metric
from metier.runtime.postprocess import Decision
from metier.search.clock import Clock
from metier.space import Choice, Int, Range, space
from metier.strategies.finetune import Finetune
from metier.strategies.multitask import Multitask
from metier.types import Floats, Problem, Rows, Run, Source, Specialist

Way = Literal["single", "shared"]
MOST = 12
"""Settings under a budget: more would only fit the noise of the rows they are compared on."""
COMMON = tuple(name for name in space(Finetune) if name in space(Multitask))


@dataclass(frozen=True)
class Fold:
    """For each task, the rows to fit on and the rows to judge by."""

    fit: tuple[Rows, ...]
    judge: tuple[Rows, ...]


@dataclass(frozen=True)
class Arena:
    """What both ways are tried on.

    Args:
        source: where all begin.
        problems: the tasks, with all rows that may be learned from.
        folds: who learns and who judges.
        cache: what all fits share.
        clock: the wall-clock.
        reserve: seconds kept for what comes after the last fit.
        seed: where random numbers come from.
        device: of the network.
    """

    source: Source
    problems: tuple[Problem, ...]
    folds: tuple[Fold, ...]
    cache: Cache
    clock: Clock
    reserve: float = 0.0
    seed: int = 0
    device: str = "cpu"

    def judged(self, task: int) -> Rows:
        """The rows of a task that some fold judges by, in order."""
        return np.sort(np.concatenate([fold.judge[task] for fold in self.folds]))

    def targets(self, task: int) -> NDArray[Any]:
        """The encoded targets of the rows of `judged`."""
        problem = self.problems[task]
        return problem.task.encode(problem.train.take(self.judged(task)))


@dataclass(frozen=True)
class Tried:
    """One setting of one way: its out-of-fold scores of `Arena.judged` for each of its tasks, what
    the fits noted, and how well it did (higher is better, tasks alike)."""

    strategy: Finetune | Multitask
    tasks: tuple[int, ...]
    scores: Mapping[int, Floats]
    notes: tuple[Mapping[str, Any], ...]
    values: Mapping[int, float]

    @property
    def value(self) -> float:
        return float(np.mean(list(self.values.values())))

    def settled(self) -> Finetune | Multitask:
        """The strategy with what its fits found out fixed."""
        return replace(self.strategy, **self.strategy.settled(self.notes))


@dataclass(frozen=True)
class Chosen:
    """The best setting of each way, and for each task the way, with the comparison behind it:
    shared against single, on out-of-fold answers."""

    single: tuple[Tried, ...]
    shared: Tried
    ways: tuple[Way, ...]
    compared: tuple[Comparison, ...]
    settings: int


def compete(arena: Arena, trials: int | None, tell: Callable[[str], None]) -> Chosen:
    """Try settings on both ways until the trials or the time are over, and choose for each task.

    Raises DataError when there was no time for the first setting.
    """
    search = _Search(arena)
    for number, setting in enumerate(_settings(arena, MOST if trials is None else trials)):
        if number and trials is None and not search.has_time_for_more():
            break
        try:
            search.run(setting, tell, f"setting {number + 1}")
        except Pruned as cut:
            if number:
                break
            raise DataError(
                f"the budget is too small for one fit of every task ({cut}): give a larger --budget"
            ) from cut
    return search.choose()


def fit_ways(arena: Arena, chosen: Chosen) -> tuple[tuple[Specialist, ...], tuple[Specialist, ...]]:
    """Fit both ways on all rows, with the settings that were chosen: single, then shared.

    Raises Pruned when there is no time left.
    """
    fits = 2 * len(arena.problems)
    shared = _fit_shared(arena, chosen.shared.settled(), arena.problems, fits)
    single = []
    for k, problem in enumerate(arena.problems):
        strategy = chosen.single[k].settled()
        single.append(_fit_single(arena, strategy, problem, len(arena.problems) - k))
    return tuple(single), shared


def plain(problem: Problem) -> Decision:
    """The decision rule before any calibration."""
    return Decision(problem.task.kind, problem.task.labels)


@dataclass
class _Search:
    """Settings under way."""

    arena: Arena
    single: dict[int, Tried] = field(default_factory=dict)
    shared: Tried | None = None
    settings: int = 0
    longest: float = 0.0

    def run(self, setting: Mapping[str, Any], tell: Callable[[str], None], name: str) -> None:
        """Fit both ways with one setting on all folds, and keep the better."""
        began = self.arena.clock.used
        count = len(self.arena.problems)
        joint = Multitask(**{"blocks": _depth(self.arena.problems), **setting})
        alone = Finetune(train="top" if setting else "auto", **setting)
        tell(f"shared, {name}")
        shared = self._try(joint, tuple(range(count)), 2 * count)
        single = {}
        for task in range(count):
            tell(f"task {task + 1} alone, {name}")
            single[task] = self._try(alone, (task,), count - task)
        if self.shared is None or shared.value > self.shared.value:
            self.shared = shared
        for task, found in single.items():
            if task not in self.single or found.value > self.single[task].value:
                self.single[task] = found
        self.settings += 1
        self.longest = max(self.longest, self.arena.clock.used - began)

    def has_time_for_more(self) -> bool:
        """Whether another setting and the last fits find time."""
        last = self.longest / len(self.arena.folds) * 1.5
        return self.arena.clock.left - self.arena.reserve > 1.2 * self.longest + last

    def choose(self) -> Chosen:
        """Say for each task which way it goes."""
        assert self.shared is not None
        compared = []
        for task, problem in enumerate(self.arena.problems):
            rule, wanted = plain(problem), self.arena.targets(task)
            both = (self.shared.scores[task], self.single[task].scores[task])
            compared.append(
                paired(
                    problem.task.metrics[0],
                    wanted,
                    *both,
                    rule,
                    rule,
                    seed=self.arena.seed,
                    clusters=clusters_of(problem.train, self.arena.judged(task)),
                )
            )
        single = tuple(self.single[task] for task in range(len(compared)))
        return Chosen(single, self.shared, choose_ways(compared), tuple(compared), self.settings)

    def _try(self, strategy: Finetune | Multitask, tasks: tuple[int, ...], to_come: int) -> Tried:
        """Fit on every fold; `to_come` counts the fits of this setting from here on."""
        arena = self.arena
        scores = {
            task: np.zeros((len(arena.judged(task)), arena.problems[task].task.outputs), np.float32)
            for task in tasks
        }
        notes = []
        for number, fold in enumerate(arena.folds):
            problems = [_part(arena.problems[task], fold.fit[task]) for task in tasks]
            left = to_come * (len(arena.folds) - number) + 2 * len(arena.problems)
            if isinstance(strategy, Multitask):
                made = _fit_shared(arena, strategy, problems, left)
            else:
                made = (_fit_single(arena, strategy, problems[0], left),)
            notes.append(made[0].lineage[-1].notes)
            for task, each in zip(tasks, made, strict=True):
                rows = fold.judge[task]
                place = np.searchsorted(arena.judged(task), rows)
                scores[task][place] = each.scores(arena.problems[task].train.take(rows))
        values = {task: _value(arena, task, found) for task, found in scores.items()}
        return Tried(strategy, tasks, scores, tuple(notes), values)


def choose_ways(compared: Sequence[Comparison]) -> tuple[Way, ...]:
    """Return for each task the better way; a tie goes to the shared network, which costs less.

    What cannot be told apart is a tie: a network of its own is bought with evidence, since chance
    alone puts it ahead by a standard error on one task of six. A network that one task alone would
    share saves nothing, so that this task then has to gain by it.
    """
    ways: list[Way] = ["single" if c.verdict == "worse" else "shared" for c in compared]
    if ways.count("shared") == 1:
        only = ways.index("shared")
        if compared[only].difference <= 0:
            ways[only] = "single"
    return tuple(ways)


def _settings(arena: Arena, count: int) -> list[dict[str, Any]]:
    """The defaults, then settings drawn at random, the same for both ways."""
    random = np.random.default_rng((arena.seed, 17))
    ranges = space(Finetune)
    drawn = [{name: _draw(ranges[name], random) for name in COMMON} for _ in range(count - 1)]
    return [{}, *drawn]


def _draw(over: Range, random: np.random.Generator) -> Any:
    if isinstance(over, Choice):
        return over.values[int(random.integers(len(over.values)))]
    low, high = (float(np.log(v)) if over.log else float(v) for v in (over.low, over.high))
    found = float(random.uniform(low, high))
    found = float(np.exp(found)) if over.log else found
    return min(max(round(found), over.low), over.high) if isinstance(over, Int) else found


def _depth(problems: Sequence[Problem]) -> float:
    """The share of the blocks that learn when nobody says: all of them as soon as one task is a
    number, which profits from a broader set of layers."""
    numbers = any(problem.task.kind == "regression" for problem in problems)
    return 1.0 if numbers else Multitask().blocks


def _part(problem: Problem, rows: Rows) -> Problem:
    return Problem(problem.task, problem.train.take(rows))


def _run(arena: Arena, fits: int) -> Run:
    """The context of the next of so many fits, which share the time that is left."""
    seconds = (arena.clock.left - arena.reserve) / max(fits, 1)
    return Run(arena.cache, arena.seed, arena.device, arena.clock.deadline(seconds))


def _fit_shared(
    arena: Arena, strategy: Any, problems: Sequence[Problem], fits: int
) -> tuple[Specialist, ...]:
    # One fit of all tasks may take as long as a fit of each.
    run = _run(arena, max(1, fits // len(problems)))
    start = Specialist(arena.source, problems[0].task)
    made: tuple[Specialist, ...] = strategy.together(start, problems, run)
    return made


def _fit_single(arena: Arena, strategy: Any, problem: Problem, fits: int) -> Specialist:
    made: Specialist = strategy(Specialist(arena.source, problem.task), problem, _run(arena, fits))
    return made


def _value(arena: Arena, task: int, scores: Floats) -> float:
    problem, wanted = arena.problems[task], arena.targets(task)
    name = problem.task.metrics[0]
    return worth(find_metric(name, problem.task.kind), wanted, scores, plain(problem))


def worth(metric: Metric, wanted: NDArray[Any], scores: Floats, rule: Decision) -> float:
    """Return how well scores (n, outputs) do, turned so that higher is better, and comparable from
    task to task: errors in the unit of a number are told in units of its spread."""
    found = measure(metric.name, wanted, scores, rule)
    if rule.kind == "regression" and not metric.higher_is_better:
        found /= float(np.std(wanted)) or 1.0
    return found if metric.higher_is_better else -found
