"""Defensive distillation: a student of soft answers, with scores blown up by a temperature."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from metier.errors import ChainError
from metier.space import Choice, tune
from metier.training.around import FormsInnerTakes, inner_of, learned_within
from metier.training.compression.teaching import Lesson, Taught, hear
from metier.training.net import NetModel
from metier.training.objectives import Objective, Supervised
from metier.types import Form, Modality, Problem, Run, Specialist, Strategy


@dataclass(frozen=True)
class DefensiveDistillation:
    """Train on a twin's soft answers and blow up the scores (Papernot et al., 2016).

    A teacher and a student are trained alike, the student on the teacher's probabilities. The
    original trains both with scores divided by a temperature and leaves the division out at
    predict; here the head is multiplied by it afterwards, which gives the same network.

    It is here to be measured, not to be trusted: large scores make the loss flat, which stops
    attacks that climb the cross-entropy and no others (Carlini and Wagner, 2017). Attacks on the
    margin of the scores, such as every second start of our PGD, mostly break it.

    Args:
        inner: the strategy that learns, twice; fine-tuning when None.
        temperature: what the scores are multiplied by in the end.
    """

    inner: Strategy | None = None
    temperature: float = tune(20.0, Choice((5.0, 20.0, 100.0)))
    accepts = FormsInnerTakes("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        if problem.task.kind == "regression":
            raise ChainError("defensive_distillation needs classes or labels: numbers have no odds")
        inner = inner_of(self.inner, start.source.modality)
        if inner.gives != "net" or "source" not in inner.accepts:
            name = type(inner).__name__.lower()
            raise ChainError(f"defensive_distillation wraps what trains a network, not {name}")
        teacher = inner(start, problem, _half(run)).model
        assert teacher is not None
        lesson = hear(teacher, [problem.train], run)
        again = run.with_objective(lambda own: _taught(own, lesson))
        found = learned_within("defensive_distillation", self, start, problem, again, {})
        assert isinstance(found.model, NetModel)
        head = found.model.net.head
        with torch.no_grad():
            head.weight.mul_(self.temperature)
            head.bias.mul_(self.temperature)
        return found


def _taught(objective: Objective, lesson: Lesson) -> Objective:
    """The teacher's probabilities in the place of the labels."""
    if not isinstance(objective, Supervised):
        raise ChainError(
            "defensive_distillation takes the place of the labels: put other wrappers around it"
        )
    return Taught(objective, replace(lesson, features=None), alpha=1.0, temperature=1.0)


def _half(run: Run) -> Run:
    """The run of the teacher: half of the time that is left, and checkpoints of its own."""
    folder = None if run.folder is None else run.folder / "teacher"
    if run.deadline is None:
        return run.in_folder(folder)
    now = time.monotonic()
    return replace(run.in_folder(folder), deadline=now + 0.5 * (run.deadline - now))
