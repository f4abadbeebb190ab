"""Losses that draw rows of one class together and push the others apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from metier.training.net import Net
from metier.training.objectives import Batch, Supervised

if TYPE_CHECKING:
    from metier.training.feed import Feed

Pull = Literal["neighbours", "pairs"]
TOGETHER = 16
"""Texts that pass the network together: batches of this loss hold classes, not lengths, so that
whole ones would be mostly padding."""


@dataclass(frozen=True)
class Contrasted:
    """A loss of all pairs of a batch, on the features alone: the head learns afterwards.

    Args:
        supervised: the task's own loss, which knows how much each row counts.
        pull: "neighbours" asks each row to know those of its class among all others (Khosla et
            al., 2020); "pairs" asks for a cosine of 1 within and of 0 across classes (as Tunstall
            et al., 2022), both kinds of pairs weighing the same.
        temperature: of "neighbours"; cosines are divided by it.
    """

    supervised: Supervised
    pull: Pull = "neighbours"
    temperature: float = 0.1
    enters: None = None
    feeds: Sequence[Feed] = ()

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        unit = functional.normalize(features_of(net, batch))
        alike = likeness(batch.targets)
        if self.pull == "pairs":
            each = paired(unit, alike)
        else:
            each = recognised(unit, alike, self.temperature)
        rows = self.supervised.rows
        if rows is None:
            return each.mean()
        counts = [rows[digest] for digest in batch.digests.tolist()]
        return (each * torch.tensor(counts, device=each.device)).mean()


def likeness(targets: Tensor) -> Tensor:
    """Return how alike the answers of rows are, (rows, rows): 1 for the same class, the share of
    labels in common for several."""
    if targets.dim() == 1:
        return (targets[:, None] == targets[None, :]).float()
    marks = (targets > 0).float()
    both = marks @ marks.T
    count = marks.sum(1)
    either = count[:, None] + count[None, :] - both
    return torch.where(either > 0, both / either.clamp(min=1.0), 1.0)


def recognised(unit: Tensor, alike: Tensor, temperature: float) -> Tensor:
    """Return a loss a row, (rows,): how unlikely its own kind is among all other rows."""
    own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    scores = (unit @ unit.T / temperature).masked_fill(own, -torch.inf)
    told = functional.log_softmax(scores, dim=1).masked_fill(own, 0.0)
    weights = alike.masked_fill(own, 0.0)
    return -(weights * told).sum(1) / weights.sum(1).clamp(min=1e-6)


def paired(unit: Tensor, alike: Tensor) -> Tensor:
    """Return a loss a row, (rows,): how far cosines are from the likeness of the answers."""
    far = (unit @ unit.T - alike) ** 2
    own = torch.eye(len(unit), device=unit.device)
    inside, outside = alike * (1 - own), (1 - alike) * (1 - own)
    return (far * inside).sum(1) / inside.sum(1).clamp(min=1e-6) + (far * outside).sum(
        1
    ) / outside.sum(1).clamp(min=1e-6)


def features_of(net: Net, batch: Batch) -> Tensor:
    """Return the features of a batch, (rows, width), texts of like length together."""
    inputs, hidden, at = batch.inputs, batch.hidden, batch.at
    mask = inputs.get("attention_mask")
    if mask is None or "assign" in inputs or len(mask) <= TOGETHER:
        return cast("Tensor", net.backbone(inputs, hidden, at))
    lengths = mask.sum(1)
    order = lengths.argsort()
    found = []
    for rows in order.split(TOGETHER):
        longest = int(lengths[rows].max())
        cut = {name: value[rows, :longest] for name, value in inputs.items()}
        found.append(net.backbone(cut, None if hidden is None else hidden[rows, :longest], at))
    return torch.cat(found)[order.argsort()]
