"""Which loss the parameters learn from. A wrapper takes an objective and gives another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from metier.training.net import Net
from metier.types import Task


@dataclass(frozen=True)
class Batch:
    """Rows on their way through a net: raw `inputs`, or `hidden` activations at boundary `at`,
    with their encoded targets (rows,) or (rows, outputs)."""

    inputs: dict[str, Tensor]
    hidden: Tensor | None
    at: int
    targets: Tensor


class Objective(Protocol):
    """A loss. `enters` is the highest boundary at which it may be handed activations: 0 for one
    that changes the raw input (adversarial pixels), 1 for one that changes embeddings, None when
    it does not look at inputs at all."""

    @property
    def enters(self) -> int | None: ...

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        """The mean loss of a batch, with its gradient."""
        ...


@dataclass(frozen=True)
class Supervised:
    """The task's own loss on labelled rows.

    Args:
        task: gives the loss.
        weights: one weight an output, against imbalance; None weighs all alike.
        smoothing: share of the target spread over all classes (Szegedy et al., 2016).
        centre, scale: regression targets are learned as (value - centre) / scale.
    """

    task: Task
    weights: Tensor | None = None
    smoothing: float = 0.0
    centre: float = 0.0
    scale: float = 1.0
    enters: None = None

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        scores = net(batch.inputs, batch.hidden, batch.at)
        targets = batch.targets
        if self.task.kind == "regression":
            targets = (targets - self.centre) / self.scale
        return self.task.loss(scores, targets, self.weights, self.smoothing)
