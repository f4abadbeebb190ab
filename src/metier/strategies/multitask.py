"""Several tasks at once: one backbone learns from all, each has a head of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from metier.cache import fingerprint
from metier.errors import ChainError
from metier.space import Choice, Float, Int, tune
from metier.training.feed import prefix_digest
from metier.training.learn import settled_schedule
from metier.training.multitask.several import Several, learn_together
from metier.training.net import NetModel
from metier.training.schedule import Schedule
from metier.types import Form, Modality, Problem, Run, Specialist, Step, same_objective

NAME = "multitask"


@dataclass(frozen=True)
class Multitask:
    """Train one network on several tasks, weighed by uncertainty (Kendall et al., 2018).

    It gives the specialist of the problem's own task; the fit that made it has made those of the
    other tasks too, and is not repeated for them. Without other tasks it is fine-tuning.

    Args:
        blocks: how many blocks learn, as a share of all, from the top.
        epochs: passes over the rows at most.
        rate: peak learning rate of the top block.
        layer_decay: each block learns at this share of the rate of the one above.
        weight_decay: decoupled weight decay.
        dropout: before the heads.
        patience: epochs without a better stopping score before it ends; 0 runs them all.
        average: decay of the moving average of the weights; 0 for none.
        rows: rows a step.
        temperature: a task of n rows is met as often as n^(1/temperature) says, so that small
            tasks are not drowned; 1 is once a row.
        others: the problems of the other tasks.
    """

    blocks: float = tune(0.34, Float(0.15, 1.0))
    epochs: float = tune(6.0, Int(2, 12))
    rate: float = tune(1e-4, Float(1e-5, 1e-3, log=True))
    layer_decay: float = tune(0.9, Float(0.7, 1.0))
    weight_decay: float = tune(0.01, Float(1e-4, 0.1, log=True))
    dropout: float = tune(0.1, Float(0.0, 0.4))
    patience: int = 2
    average: float = tune(0.99, Choice((0.0, 0.99)))
    rows: int = tune(32, Choice((16, 32, 64)))
    temperature: float = tune(2.0, Choice((1.0, 2.0, 4.0)))
    others: tuple[Problem, ...] | None = field(default=None, compare=False, repr=False)
    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        problems = (problem, *(self.others or ()))
        return self.together(start, problems, run)[0]

    def together(
        self, start: Specialist, problems: Sequence[Problem], run: Run
    ) -> tuple[Specialist, ...]:
        """Return the specialist of every problem, from one fit.

        Raises DataError when the problems do not read the same inputs.
        """
        names = [_name(problem) for problem in problems]
        # Whoever of them asks, the fit is the same one.
        order = sorted(range(len(problems)), key=lambda k: names[k])
        found = self._known(start, [problems[k] for k in order], [names[k] for k in order], run)
        return tuple(found[order.index(k)] for k in range(len(problems)))

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: how many epochs, so that none need be held out."""
        return settled_schedule(notes)

    def _known(
        self, start: Specialist, problems: Sequence[Problem], names: Sequence[str], run: Run
    ) -> Sequence[Specialist]:
        """The fit of these problems, the last one where it is the same."""
        if run.objective is not same_objective or run.guard is not None:
            # What goes around this strategy has no name by which its fit would be known again.
            return self._fit(start, problems, run)
        key = fingerprint(self, run.seed, _start(start), names)
        kept = run.cache.memory.get(NAME, {})
        if kept.get(0) != key:
            made = self._fit(start, problems, run)
            # Only the last one: networks are large, and the tasks of one fit ask in turn.
            kept = run.cache.memory[NAME] = {0: key, 1: made}
        found: Sequence[Specialist] = kept[1]
        return found

    def _fit(
        self, start: Specialist, problems: Sequence[Problem], run: Run
    ) -> tuple[Specialist, ...]:
        began = time.monotonic()
        source: Any = start.source
        if start.model is None:
            backbone = source.load()
        elif isinstance(start.model, NetModel):
            backbone = start.model.net.backbone
        else:
            raise ChainError(f"multitask trains a network, not a {start.form}")
        boundary = backbone.depth - 1 - max(1, round(self.blocks * (backbone.depth - 2)))
        how = Several(
            Schedule.of(self, head_rate=self.rate * 10),
            max(boundary, 0),
            self.dropout,
            self.temperature,
        )
        models, notes = learn_together(start, problems, run, how)
        step = Step(NAME, self._told(problems), time.monotonic() - began, notes)
        return tuple(
            replace(start, task=problem.task).then(model, step)
            for problem, model in zip(problems, models, strict=True)
        )

    def _told(self, problems: Sequence[Problem]) -> dict[str, Any]:
        """The parameters as a lineage names them: of the other tasks, how many there were."""
        told = {own.name: getattr(self, own.name) for own in fields(self)}
        return {**told, "others": len(problems) - 1}


def _name(problem: Problem) -> str:
    """What names a problem by its content."""
    table = problem.train
    targets = problem.task.encode(table)
    weights = b"" if table.weights is None else table.weights.tobytes()
    return fingerprint(problem.task, table.digests.tobytes(), targets.tobytes(), weights)


def _start(start: Specialist) -> str:
    if isinstance(start.model, NetModel):
        backbone = start.model.net.backbone
        return prefix_digest(backbone, backbone.depth + 1)
    return start.source.digest
