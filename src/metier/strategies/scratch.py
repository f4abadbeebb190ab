"""The same architecture from random weights: what the pretraining is worth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from metier.space import Float, Int, tune
from metier.training.learn import Loss, learn, settled_schedule
from metier.training.net import Net, NetModel
from metier.training.schedule import Schedule
from metier.training.start import preprocess_of
from metier.types import Form, Modality, Problem, Run, Specialist, Step


@dataclass(frozen=True)
class Scratch:
    """Train the source's architecture from random weights, all of it, as a baseline.

    Args:
        epochs: passes over the rows at most.
        rate: peak learning rate.
        patience: epochs without a better stopping score before it ends.
    """

    epochs: float = tune(10.0, Int(4, 30))
    rate: float = tune(5e-4, Float(1e-4, 3e-3, log=True))
    patience: int = 3
    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        source: Any = start.source
        net = Net(source.load(pretrained=False, seed=run.seed), problem.task.outputs)
        net.learn_from(0)
        model = NetModel(net, preprocess_of(start.source, problem.train), problem.task, source, 0)
        schedule = Schedule.of(self, head_rate=self.rate)
        _, notes = learn(model, problem, run, schedule, Loss(), fresh=True)
        return start.then(model, Step("scratch", asdict(self), time.monotonic() - began, notes))

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: how many epochs, so that none need be held out."""
        return settled_schedule(notes)
