"""Frozen features and a linear head."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import ClassVar

from metier.space import Choice, tune
from metier.training.start import fresh_net, give_head
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
        model = fresh_net(start, problem)
        head = give_head(model, problem, run, balanced=self.balanced)
        notes = {"strength": head.strength}
        return start.then(model, Step("probe", asdict(self), time.monotonic() - began, notes))
