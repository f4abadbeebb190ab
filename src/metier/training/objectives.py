"""Which loss the parameters learn from. A wrapper takes an objective and gives another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metier.training.net import Net
from metier.types import Task

if TYPE_CHECKING:
    from metier.training.feed import Feed


@dataclass(frozen=True)
class Batch:
    """Rows on their way through a net: raw `inputs`, or `hidden` activations at boundary `at`,
    with their encoded targets (rows,) or (rows, outputs). `digests` (rows,) name the rows by their
    content, for an objective that knows more about them (what a teacher says)."""

    inputs: dict[str, Tensor]
    hidden: Tensor | None
    at: int
    targets: Tensor
    digests: NDArray[np.uint64]


class Objective(Protocol):
    """A loss. `enters` is the highest boundary at which it may be handed activations: 0 for one
    that changes the raw input (adversarial pixels), 1 for one that changes embeddings, None when
    it does not look at inputs at all. `feeds` are rows of its own that it reads beside the labelled
    ones (unlabelled rows of another domain); a wrapper hands on those of what it wraps."""

    @property
    def enters(self) -> int | None: ...
    @property
    def feeds(self) -> Sequence[Feed]: ...

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
        centre, scale: for regression a score of s says the value s * scale + centre.
        feeds: none; labelled rows are all that it reads.
    """

    task: Task
    weights: Tensor | None = None
    smoothing: float = 0.0
    centre: float = 0.0
    scale: float = 1.0
    enters: None = None
    feeds: tuple[Feed, ...] = ()

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        return self.of(net(batch.inputs, batch.hidden, batch.at), batch.targets)

    def of(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of scores that are already there."""
        if self.task.kind == "regression":
            # The task's loss takes the target's own unit; the far centre would cost precision.
            scores, targets = scores * self.scale, targets - self.centre
        return self.task.loss(scores, targets, self.weights, self.smoothing)
