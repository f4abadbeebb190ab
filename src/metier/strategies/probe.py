"""Frozen features and a linear head."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import ClassVar

from metier.space import Choice, tune
from metier.training.heads import fit_head
from metier.training.start import feed_for, fresh_net
from metier.types import Form, Modality, Problem, Run, Specialist, Step


@dataclass(frozen=True)
class Probe:
    """Leave the source as it is and fit a linear head on its features.

    Logistic regression (ridge for regression), its regularisation chosen by cross-validation on
    the training rows.

    Args:
        balanced: weigh classes alike whatever their number of rows.
    """

    balanced: bool = tune(False, Choice((False, True)))
    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        task = problem.task
        model = fresh_net(start, problem)
        features = feed_for(model, problem.train, run).features()
        targets = task.encode(problem.train)
        head = fit_head(
            features,
            targets,
            task.kind,
            task.outputs,
            balanced=self.balanced,
            seed=run.seed,
            weights=problem.train.weights,
            deadline=run.deadline,
        )
        model.net.set_head(head.weight, head.bias)
        notes = {"strength": head.strength}
        return start.then(model, Step("probe", asdict(self), time.monotonic() - began, notes))
