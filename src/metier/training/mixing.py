"""Rows mixed with each other, and their losses with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metier.training.net import Net
from metier.training.objectives import Batch, Objective, Supervised

if TYPE_CHECKING:
    from metier.training.feed import Feed


def mixing(alpha: float) -> Callable[[Supervised], Objective] | None:
    """Return what mixes the rows of a loss; None, which changes nothing, for an alpha of 0."""
    return (lambda supervised: Mixed(supervised, alpha)) if alpha else None


@dataclass(frozen=True)
class Mixed:
    """The task's loss on rows that are mixtures of two (Zhang et al., 2018), where they enter.

    Pictures, and what a frozen part of a network makes of them, are added up or, half of the time
    where they have a height and a width, one is pasted into the other (CutMix: Yun et al., 2019).
    Texts have no common places: their features are added up (Verma et al., 2019). The random
    numbers are torch's own, which a checkpoint keeps.

    Args:
        supervised: the task's own loss.
        alpha: of the Beta distribution that the shares are drawn from.
    """

    supervised: Supervised
    alpha: float
    enters: None = None
    feeds: Sequence[Feed] = ()

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        order = torch.randperm(len(batch.targets))
        entering = batch.hidden if batch.at else batch.inputs.get("pixel_values")
        if "attention_mask" in batch.inputs or entering is None:
            features = net.backbone(batch.inputs, batch.hidden, batch.at)
            mixed = torch.lerp(features[order], features, share)
            scores = net.head(net.dropout(mixed))
        else:
            mixed, share = mixed_or_pasted(entering, order, share)
            if batch.at:
                scores = net(batch.inputs, mixed, batch.at)
            else:
                scores = net({**batch.inputs, "pixel_values": mixed})
        other = replace(batch, targets=batch.targets[order], digests=batch.digests[order.numpy()])
        return share * self._loss(scores, batch) + (1 - share) * self._loss(scores, other)

    def counted(self, targets: Tensor) -> float:
        """What the rows count in the task's loss; those of one piece are mixed with each other."""
        return self.supervised.counted(targets)

    def _loss(self, scores: Tensor, batch: Batch) -> Tensor:
        return self.supervised.of(scores, batch.targets, batch.digests)


def mixed_or_pasted(value: Tensor, order: Tensor, share: float) -> tuple[Tensor, float]:
    """Return rows mixed with others, and the share of each that is its own."""
    if value.dim() != 4 or float(torch.rand(())) < 0.5:
        return torch.lerp(value[order], value, share), share
    height, width = value.shape[2:]
    tall, wide = (round(side * (1 - share) ** 0.5) for side in (height, width))
    top = int(torch.randint(height - tall + 1, ()))
    left = int(torch.randint(width - wide + 1, ()))
    pasted = value.clone()
    part = (slice(top, top + tall), slice(left, left + wide))
    pasted[:, :, *part] = value[order][:, :, *part]
    return pasted, 1 - tall * wide / (height * width)
