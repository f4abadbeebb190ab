"""Self-training: a model labels the rows that it is sure of, and learns from them too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from metier.errors import ChainError, Pruned
from metier.evidence.answers import Array
from metier.space import Float, Int, tune
from metier.training.around import (
    FormInnerGives,
    FormsInnerTakes,
    as_one_step,
    inner_of,
    part_of,
    rows_for,
)
from metier.training.unlabelled.joined import joined
from metier.training.unlabelled.judged import Judges, judges
from metier.training.unlabelled.selftaught import Said, again, gain_of, sure_of
from metier.types import (
    Modality,
    Problem,
    Run,
    Specialist,
    Strategy,
    Table,
)

NAME = "pseudolabel"


@dataclass(frozen=True)
class Pseudolabel:
    """Let an inner strategy learn from its own sure answers to unlabelled rows (Lee, 2013).

    It fits, labels the rows that it is sure of by calibrated thresholds a class, fits on both, and
    so on. Rows held out of the training rows say which round was best; that may be the first, which
    has added nothing. As many rounds are then run on all training rows.

    Args:
        inner: what learns; boost for tables and finetune for the rest when None.
        rounds: how often rows are labelled at most.
        precision: the least share of right ones among the labels that are added, as the calibrated
            confidence says it.
        weight: how much a row that was labelled so counts beside a training row.
        judged: hold rows out that choose the round; a frozen recipe has chosen it.
        temperature: what scores are divided by to be calibrated; 0 finds it on the rows held out.
        unlabeled: the rows without labels.
    """

    inner: Strategy | None = None
    rounds: int = tune(2, Int(1, 4))
    precision: float = tune(0.9, Float(0.7, 0.99))
    weight: float = tune(0.5, Float(0.2, 1.0))
    judged: bool = True
    temperature: float = 0.0
    unlabeled: Table | None = field(default=None, compare=False, repr=False)

    accepts = FormsInnerTakes("source", "net", "booster")
    gives = FormInnerGives()
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image", "tabular")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Fit, label and fit again.

        Raises ChainError without unlabelled rows and for regression, whose answers have no
        confidence, and Pruned when not even the first fit was in time.
        """
        began = time.monotonic()
        if problem.task.kind == "regression":
            raise ChainError("pseudolabel needs classes or labels: a number has no confidence")
        unlabeled = rows_for(NAME, self.unlabeled, problem.train)
        inner = inner_of(self.inner, start.source.modality)
        climb = _Climb(self, inner, start, problem, unlabeled, run)
        try:
            made, notes = climb.judged() if self.judged else climb.settled()
        except Pruned:
            made, notes = climb.plain("there was no time for more than one fit")
        return as_one_step(NAME, self, start, made, time.monotonic() - began, notes)

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: how many rounds, and the temperature."""
        own = [note[NAME] for note in notes if NAME in note]
        if not own:
            return {}
        rounds = sorted(int(each["best"]) for each in own)[(len(own) - 1) // 2]
        heats = sorted(float(each["temperature"]) for each in own)
        return {"rounds": rounds, "judged": False, "temperature": heats[len(heats) // 2]}


class _Climb:
    """The rounds of one fit."""

    def __init__(
        self,
        strategy: Pseudolabel,
        inner: Strategy,
        start: Specialist,
        problem: Problem,
        unlabeled: Table,
        run: Run,
    ) -> None:
        self.strategy, self.inner, self.start = strategy, inner, start
        self.problem, self.unlabeled, self.run = problem, unlabeled, run
        self.task = problem.task
        self.targets = self.task.encode(problem.train)
        self.first: Specialist | None = None
        self.temperature = strategy.temperature
        self.fits = 0

    def plain(self, reason: str) -> tuple[Specialist, dict[str, Any]]:
        """What the inner strategy makes of the labelled rows alone. Raises Pruned when out of
        time."""
        if self.run.deadline is not None and time.monotonic() > self.run.deadline:
            raise Pruned("out of time")
        self.first = None
        made = self._fit(self.problem, None, 1)
        return self._ended(made), {NAME: {**self._told(0, None, []), "reason": reason}}

    def settled(self) -> tuple[Specialist, dict[str, Any]]:
        """As many rounds as were found to be best, on all training rows."""
        made, said = self._walk(self.strategy.rounds)
        return self._ended(made), {NAME: self._told(self.strategy.rounds, said, [])}

    def _walk(self, rounds: int) -> tuple[Specialist, Said | None]:
        made = self._fit(self.problem, None, rounds + 1)
        said = None
        for number in range(rounds):
            said = self._label(made)
            made = self._fit(self.problem, said, rounds - number)
        return made, said

    def judged(self) -> tuple[Specialist, dict[str, Any]]:
        """Rounds without the rows held out, then as many as were best on all training rows."""
        held = judges(self.start, self.problem, self.unlabeled, self.run)
        if isinstance(held, str):
            return self.plain(held)
        rounds: list[tuple[Specialist, Said | None, Array]] = []
        said: Said | None = None
        for number in range(self.strategy.rounds + 1):
            made = self._in_time(held.problem, said, 2 * (self.strategy.rounds + 1) - number)
            if made is None:
                break
            rounds.append((made, said, self._judge(held, made)))
            said = self._label(made)
        weights = held.weights
        best = self._best(rounds, weights)
        made, said, _ = rounds[best]
        gains = [
            gain_of(rounds[0][2], each[2], weights, self.run.seed).told() for each in rounds[1:]
        ]
        with contextlib.suppress(Pruned):  # then it is the one without the rows held out
            made, said = self._walk(best)
        return self._ended(made), {NAME: self._told(best, said, gains)}

    def _best(self, rounds: Sequence[tuple[Specialist, Said | None, Array]], weights: Array) -> int:
        """The round whose loss on the rows held out is lowest; of equals the earliest."""
        return int(np.argmin([np.average(each[2], weights=weights) for each in rounds]))

    def _judge(self, held: Judges, made: Specialist) -> Array:
        """The losses of the rows held out, calibrated on them; the first round's temperature is
        what labels are chosen by."""
        found, heat = held.losses(made, self.run)
        self.temperature = self.temperature or heat
        return found

    def _label(self, made: Specialist) -> Said:
        counts = (
            self.targets.sum(axis=0)
            if self.targets.ndim == 2
            else np.bincount(self.targets, minlength=self.task.outputs)
        )
        shares = np.asarray(counts / max(float(counts.sum()), 1.0), dtype=np.float64)
        return sure_of(
            made.scores(self.unlabeled, self.run.cache),
            self.temperature or 1.0,
            self.strategy.precision,
            self.task.kind,
            shares,
        )

    def _in_time(self, problem: Problem, said: Said | None, left: int) -> Specialist | None:
        """A fit, or None when there is something already and time is over."""
        try:
            return self._fit(problem, said, left)
        except Pruned:
            if self.first is None:
                raise
            return None

    def _fit(self, problem: Problem, said: Said | None, left: int) -> Specialist:
        """Fit on the labelled rows and on those that were labelled, in one of `left` parts of the
        time."""
        run = self._part(left)
        if said is None or not len(said.rows):
            made = self.inner(self.start, problem, run)
            self.first = self.first or made
            return made
        table = joined(
            problem.train,
            self.unlabeled.take(said.rows),
            said.answers,
            self.task,
            self.strategy.weight * said.confidence,
        )
        assert self.first is not None
        growth = len(table) / len(problem.train)
        later = again(self.inner, self.first.lineage[-1].notes, growth)
        return later(self.start, replace(problem, train=table), run)

    def _part(self, left: int) -> Run:
        self.fits += 1
        return part_of(self.run, 1 / left, f"fit-{self.fits}")

    def _ended(self, made: Specialist) -> Specialist:
        """What came out, told with the parameters and the notes of the first fit: those are what a
        recipe is settled by."""
        assert self.first is not None
        first, last = self.first.lineage[-1], made.lineage[-1]
        told = replace(last, parameters=first.parameters, notes=first.notes)
        return replace(made, lineage=(*made.lineage[:-1], told))

    def _told(
        self, best: int, said: Said | None, gains: Sequence[Mapping[str, float]]
    ) -> dict[str, Any]:
        taken = 0 if said is None else len(said.rows)
        return {
            "best": best,
            "labelled": taken,
            "of": len(self.unlabeled),
            "temperature": self.temperature or 1.0,
            "rounds": list(gains),
        }
