"""Few steps of an attack, and the check that more steps would not do what these no longer do.

A network that learns from one step can end in withstanding that step and nothing else, within an
epoch and with a falling loss (catastrophic overfitting; Wong et al., 2020). A few steps on a few
rows tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from metier.training.attacks.adversaries import PixelSteps
from metier.training.attacks.pgd import as_at_predict
from metier.training.net import Net
from metier.training.objectives import Batch, Objective

if TYPE_CHECKING:
    from metier.training.feed import Feed

CHECKED = 5
"""Steps of the check; an attack of as many is not checked."""
REACH = 2.5
"""Radii that the steps of the check go together (Madry et al., 2018)."""
TOGETHER = 1.5
"""Radii that the steps go together after a collapse: two steps of 0.75."""
FEWEST = 8
"""Rows that have to withstand the own steps before they are said to withstand nothing else."""


@dataclass
class Sparing:
    """An attack of few steps, which takes twice as many once they have stopped to harden.

    It is the attack of an objective and the guard of the same fit.

    Args:
        first: the attack as it begins.
        loss: what the check climbs, for classes.
        turns: how often the steps were doubled.
    """

    first: PixelSteps
    loss: Objective
    turns: int = 0
    enters: int = 0
    feeds: tuple[Feed, ...] = ()

    def __call__(self, net: Net, batch: Batch, objective: Objective) -> Batch:
        return self._now()(net, batch, objective)

    def begin(self, turns: int) -> None:
        """Be as after so many turns."""
        self.turns = turns

    def astray(self, net: Net, batch: Batch) -> Mapping[str, Any] | None:
        """Compare which rows withstand the own steps and which of these withstand the check.

        Returns None while at least half of them do, else the counts.
        """
        own = self._now()
        if own.steps >= CHECKED:
            return None
        more = replace(own, steps=CHECKED, step=REACH / CHECKED)
        with as_at_predict(net):
            spared, held = (self._right(net, batch, attack) for attack in (own, more))
        withstood, left = int(spared.sum()), int((spared & held).sum())
        if withstood < FEWEST or 2 * left >= withstood:
            return None
        return {"rows": len(spared), "steps": own.steps, "withstood": withstood, "left": left}

    def _now(self) -> PixelSteps:
        if not self.turns:
            return self.first
        steps = self.first.steps * 2**self.turns
        return replace(self.first, steps=steps, step=TOGETHER / steps)

    def _right(self, net: Net, batch: Batch, attack: PixelSteps) -> torch.Tensor:
        attacked = attack(net, batch, self.loss)
        with torch.no_grad():
            scores: torch.Tensor = net(attacked.inputs, attacked.hidden, attacked.at)
        return scores.argmax(dim=1).eq(batch.targets)
