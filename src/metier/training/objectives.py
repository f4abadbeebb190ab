"""Which loss the parameters learn from. A wrapper takes an objective and gives another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

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
    content, for an objective that knows more about them (what a teacher says). `done` is the share
    of the planned steps that lie behind, for what changes on the way; 1 where nobody plans."""

    inputs: dict[str, Tensor]
    hidden: Tensor | None
    at: int
    targets: Tensor
    digests: NDArray[np.uint64]
    done: float = 1.0


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


class Guard(Protocol):
    """Notices a fit that leads nowhere at the end of an epoch, and changes what it learns from.

    The loop then goes back to the end of the last epoch at which nothing was amiss.
    """

    def begin(self, turns: int) -> None:
        """Be as after so many changes; a fit begins with 0, a resumed one where it was."""
        ...

    def astray(self, net: Net, batch: Batch) -> Mapping[str, Any] | None:
        """What is amiss on a batch of training rows, as plain JSON; None for nothing."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """An objective whose loss of a batch is the mean of those of its rows, so that a step may take
    them in pieces."""

    def counted(self, targets: Tensor) -> float | None:
        """How much rows of these targets count in the mean: their number, or what they weigh; None
        where the loss is no such mean after all."""
        ...


@dataclass(frozen=True)
class Supervised:
    """The task's own loss on labelled rows.

    Args:
        task: gives the loss.
        weights: one weight an output, against imbalance; None weighs all alike.
        smoothing: share of the target spread over all classes (Szegedy et al., 2016).
        centre, scale: for regression a score of s says the value s * scale + centre.
        rows: how much each row counts, by its digest; None when all count alike.
        feeds: none; labelled rows are all that it reads.
    """

    task: Task
    weights: Tensor | None = None
    smoothing: float = 0.0
    centre: float = 0.0
    scale: float = 1.0
    rows: Mapping[int, float] | None = None
    enters: None = None
    feeds: tuple[Feed, ...] = ()

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        scores = net(batch.inputs, batch.hidden, batch.at)
        return self.of(scores, batch.targets, batch.digests)

    def counted(self, targets: Tensor) -> float:
        """The number of the rows, or the sum of the weights of their classes."""
        single = self.task.kind in {"binary", "multiclass"}
        if self.weights is None or self.rows is not None or not single:
            return float(len(targets))
        return float(self.weights[targets].sum())

    def of(
        self, scores: Tensor, targets: Tensor, digests: NDArray[np.uint64] | None = None
    ) -> Tensor:
        """The mean loss of scores that are already there; rows are weighed where `digests` name
        them."""
        if self.task.kind == "regression":
            # The task's loss takes the target's own unit; the far centre would cost precision.
            scores, targets = scores * self.scale, targets - self.centre
        if self.rows is None or digests is None:
            return self.task.loss(scores, targets, self.weights, self.smoothing)
        return self._weighed(scores, targets, [self.rows[d] for d in digests.tolist()])

    def _weighed(self, scores: Tensor, targets: Tensor, weights: Sequence[float]) -> Tensor:
        """The weighted mean; a task only knows the plain one, so rows of one weight go together."""
        total = scores.sum() * 0.0
        for weight in sorted(set(weights)):
            own = [place for place, each in enumerate(weights) if each == weight]
            loss = self.task.loss(scores[own], targets[own], self.weights, self.smoothing)
            total = total + loss * (weight * len(own))
        return total / len(weights)
