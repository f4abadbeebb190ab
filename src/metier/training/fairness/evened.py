"""A loss that also asks groups to be answered alike: a penalty on what scores say of the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metier.training.net import Net
from metier.training.objectives import Batch, Objective, Supervised

if TYPE_CHECKING:
    from metier.training.feed import Feed


@dataclass(frozen=True)
class Evened:
    """The loss of another objective, and how far the groups of a batch lie apart.

    For each group, and with odds for each label, the difference between the mean probability of the
    positive class in the group and outside of it is squared (after Zafar et al., 2017, who bound
    the covariance of the two).

    Args:
        within: the objective around which this is.
        groups: by what names a row, its group in each sensitive column.
        strength: of the penalty.
        kind: "parity" compares all rows of a group, "odds" those of one label.
    """

    within: Objective
    groups: Mapping[int, tuple[int, ...]]
    strength: float
    kind: Literal["parity", "odds"] = "odds"

    @property
    def enters(self) -> int | None:
        return self.within.enters

    @property
    def feeds(self) -> Sequence[Feed]:
        return self.within.feeds

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        if isinstance(self.within, Supervised):
            scores = net(batch.inputs, batch.hidden, batch.at)
            loss = self.within.of(scores, batch.targets, batch.digests)
        else:
            loss = self.within(net, batch)
            scores = net(batch.inputs, batch.hidden, batch.at)
        return loss + self.strength * self._apart(scores, batch)

    def _apart(self, scores: Tensor, batch: Batch) -> Tensor:
        chance = torch.softmax(scores.float(), dim=1)[:, 1]
        found = [self.groups.get(digest) for digest in batch.digests.tolist()]
        known = torch.tensor([each is not None for each in found], device=scores.device)
        codes = torch.tensor([each or self._unknown for each in found], device=scores.device)
        labels = batch.targets
        events = [known] if self.kind == "parity" else [known & (labels == y) for y in (0, 1)]
        total = scores.sum() * 0.0
        for event in events:
            for column in codes.T:
                for group in column[known].unique().tolist():
                    total = total + _squared(chance, event & (column == group), event)
        return total

    @property
    def _unknown(self) -> tuple[int, ...]:
        return (-1,) * len(next(iter(self.groups.values()), ()))


def _squared(chance: Tensor, own: Tensor, event: Tensor) -> Tensor:
    """The squared distance of the means inside and outside a group, weighed by the smaller part."""
    rest = event & ~own
    inside, outside = int(own.sum()), int(rest.sum())
    if not inside or not outside:
        return chance.sum() * 0.0
    weight = 2.0 * min(inside, outside) / (inside + outside)
    return weight * (chance[own].mean() - chance[rest].mean()) ** 2


def codes_by_content(
    digests: NDArray[np.uint64], groups: Mapping[str, Sequence[str]]
) -> Mapping[int, tuple[int, ...]]:
    """Return the group of each row in each column by what names the row."""
    columns = [
        np.unique(np.asarray(own, dtype=str), return_inverse=True)[1] for own in groups.values()
    ]
    coded = np.stack(columns, axis=1).tolist()
    return {d: tuple(own) for d, own in zip(digests.tolist(), coded, strict=True)}
