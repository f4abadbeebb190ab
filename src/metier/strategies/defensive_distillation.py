"""Defensive distillation: a student of soft answers, with scores blown up by a temperature."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import torch

from metier.errors import ChainError
from metier.registry import find
from metier.space import Choice, tune
from metier.training.net import NetModel
from metier.training.objectives import Objective, Supervised
from metier.training.teaching import Lesson, Taught, hear
from metier.types import Form, Modality, Problem, Run, Specialist, Step, Strategy


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
    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        if problem.task.kind == "regression":
            raise ChainError("defensive_distillation needs classes or labels: numbers have no odds")
        inner = self.inner or find("strategies", "finetune")()
        if inner.gives != "net" or "source" not in inner.accepts:
            name = type(inner).__name__.lower()
            raise ChainError(f"defensive_distillation wraps what trains a network, not {name}")
        teacher = inner(start, problem, _half(run)).model
        assert teacher is not None
        lesson = hear(teacher, [problem.train], run)
        learned = inner(start, problem, run.with_objective(lambda own: _taught(own, lesson)))
        model = learned.model
        if not isinstance(model, NetModel):
            raise ChainError("defensive_distillation needs a strategy that trains a network")
        self._blow_up(model)
        notes = {**learned.lineage[-1].notes, "temperature": self.temperature}
        return start.then(
            model,
            Step("defensive_distillation", self._told(inner), time.monotonic() - began, notes),
        )

    def _blow_up(self, model: NetModel) -> None:
        head = model.net.head
        with torch.no_grad():
            head.weight.mul_(self.temperature)
            head.bias.mul_(self.temperature)

    def _told(self, inner: Strategy) -> dict[str, Any]:
        """The parameters as a lineage names them, with those of what was wrapped."""
        made: Any = inner
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**own, "inner": {"strategy": type(inner).__name__.lower(), **asdict(made)}}


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
