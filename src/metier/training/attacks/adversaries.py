"""Objectives that learn from the worst that a small change of the input can do.

Each wraps another objective and climbs that objective's own loss, so that they compose: with soft
answers of a teacher, with a penalty, with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from metier.evidence.robustness.pixels import Pixels
from metier.training.attacks.pgd import as_at_predict
from metier.training.net import Net
from metier.training.objectives import Batch, Divisible, Objective

if TYPE_CHECKING:
    from metier.training.feed import Feed


class Attack(Protocol):
    """One way of making a batch worse. `enters` is the highest boundary at which it may be handed
    activations; `feeds` hold the tokens that it may put into texts."""

    @property
    def enters(self) -> int: ...
    @property
    def feeds(self) -> Sequence[Feed]: ...

    def __call__(self, net: Net, batch: Batch, objective: Objective) -> Batch:
        """The batch, changed so that the objective's loss is higher."""
        ...


@dataclass(frozen=True)
class Hardened:
    """A loss on clean rows mixed with the same loss on attacked ones (Goodfellow et al., 2015).

    Args:
        inner: the loss.
        attack: what makes the rows worse.
        weight: share of the attacked rows in the loss; 1 learns from nothing else (Madry et al.,
            2018).
        agreement: weight of the distance between the answers to a row and to the attacked row
            (Zhang et al., 2019, "TRADES"), for classes.
    """

    inner: Objective
    attack: Attack
    weight: float = 1.0
    agreement: float = 0.0

    @property
    def enters(self) -> int:
        below = self.inner.enters
        return self.attack.enters if below is None else min(below, self.attack.enters)

    @property
    def feeds(self) -> Sequence[Feed]:
        return (*self.inner.feeds, *self.attack.feeds)

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        with as_at_predict(net):
            attacked = self.attack(net, batch, self.inner)
        loss = torch.zeros((), device=batch.targets.device)
        if self.weight > 0:
            loss = loss + self.weight * self.inner(net, attacked)
        if self.weight < 1:
            loss = loss + (1 - self.weight) * self.inner(net, batch)
        if self.agreement:
            loss = loss + self.agreement * _apart(net, batch, attacked)
        return loss

    def counted(self, targets: Tensor) -> float | None:
        """What the rows count in the loss that is wrapped: an attack sees each row by itself."""
        own = self.inner.counted(targets) if isinstance(self.inner, Divisible) else None
        return None if self.agreement and own != len(targets) else own


def _apart(net: Net, batch: Batch, attacked: Batch) -> Tensor:
    """How far the answers to attacked rows lie from those to the rows themselves."""
    told, asked = (
        functional.log_softmax(net(each.inputs, each.hidden, each.at), dim=1)
        for each in (attacked, batch)
    )
    return functional.kl_div(told, asked, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class PixelSteps:
    """PGD from a random start within a radius of pixels, L-infinity (Madry et al., 2018).

    With one step it is the fast variant of Wong et al. (2020).

    Args:
        pixels: where the network's inputs stand in a picture from 0 to 1.
        radius: the most that any pixel may move.
        steps: gradient steps.
        step: the length of a step as a share of the radius.
        grow: share of the planned steps over which the radius grows from nothing to its whole.
    """

    pixels: Pixels
    radius: float
    steps: int
    step: float
    grow: float = 0.0
    enters: int = 0
    feeds: tuple[Feed, ...] = ()

    def __call__(self, net: Net, batch: Batch, objective: Objective) -> Batch:
        clean = batch.inputs["pixel_values"].detach()
        room = _room(self.pixels, clean)
        radius = self.radius * grown(batch, self.grow)
        moved = (2 * torch.rand(clean.shape).to(clean) - 1) * radius * room.unit
        for _ in range(self.steps):
            here = room.keep(clean + moved).requires_grad_(True)
            loss = objective(net, replace(batch, inputs={"pixel_values": here}))
            (gradient,) = torch.autograd.grad(loss, here)
            moved = here.detach() - clean + self.step * radius * room.unit * gradient.sign()
            moved = torch.clamp(moved, -radius * room.unit, radius * room.unit)
        return replace(batch, inputs={"pixel_values": room.keep(clean + moved)})


def grown(batch: Batch, share: float) -> float:
    """Return the part of a radius that holds for a batch, where it grows over a share of the steps
    (Cai et al., 2018): a network is not asked at once for what it is far from."""
    return min(1.0, batch.done / share) if share > 0 else 1.0


@dataclass(frozen=True)
class _Room:
    """The steps of a pixel and the ends of its range, in the units of a network's inputs."""

    unit: Tensor
    low: Tensor

    def keep(self, inputs: Tensor) -> Tensor:
        """Cut what no picture can hold."""
        return torch.maximum(torch.minimum(inputs, self.low + self.unit), self.low).detach()


def _room(pixels: Pixels, like: Tensor) -> _Room:
    unit, low = (
        torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
        for values in (pixels.unit, pixels.zero)
    )
    return _Room(unit, low)


@dataclass
class FreePixels:
    """Adversarial training at the price of plain training (Shafahi et al., 2019, "for free!").

    Every batch is stepped on `replays` times in a row. The gradient that changes the weights also
    moves the pixels, so no pass is spent on the attack alone; the movement is carried on to the
    next batch. Of the batches that the loop offers, the first of each `replays` is learned from.
    """

    inner: Objective
    pixels: Pixels
    radius: float
    replays: int
    grow: float = 0.0
    enters: int = 0
    held: Batch | None = field(default=None, repr=False)
    moved: Tensor | None = field(default=None, repr=False)
    left: int = 0

    @property
    def feeds(self) -> Sequence[Feed]:
        return self.inner.feeds

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        if self.held is None or self.left == 0:
            self.held, self.left = batch, self.replays
        self.left -= 1
        clean = self.held.inputs["pixel_values"].detach()
        room = _room(self.pixels, clean)
        moved = self._carried(clean)
        here = room.keep(clean + moved * room.unit).requires_grad_(True)
        radius = self.radius * grown(batch, self.grow)

        def follow(gradient: Tensor) -> None:
            further = moved + radius * gradient.sign()
            self.moved = further.clamp(-radius, radius).detach()

        here.register_hook(follow)
        return self.inner(net, replace(self.held, inputs={"pixel_values": here}))

    def _carried(self, clean: Tensor) -> Tensor:
        """The movement so far, for as many rows as there are."""
        if self.moved is None or self.moved.shape[1:] != clean.shape[1:]:
            return torch.zeros_like(clean)
        if len(self.moved) < len(clean):
            return torch.cat([self.moved, torch.zeros_like(clean[len(self.moved) :])])
        return self.moved[: len(clean)]


@dataclass(frozen=True)
class EmbeddingSteps:
    """Steps of the embeddings of a text where they hurt most (Miyato et al., 2017).

    Args:
        radius: how far a text may move in all, as a share of the length of its embeddings.
        steps: gradient steps.
        step: the length of a step as a share of the radius.
        grow: share of the planned steps over which the radius grows from nothing to its whole.
    """

    radius: float
    steps: int
    step: float
    grow: float = 0.0
    enters: int = 1
    feeds: tuple[Feed, ...] = ()

    def __call__(self, net: Net, batch: Batch, objective: Objective) -> Batch:
        hidden = batch.hidden
        with torch.no_grad():
            clean = net.backbone.activations(batch.inputs, 1) if hidden is None else hidden
        mask = batch.inputs["attention_mask"].unsqueeze(-1).to(clean.dtype)
        most = self.radius * grown(batch, self.grow) * _length(clean * mask)
        moved = torch.zeros_like(clean)
        for _ in range(self.steps):
            here = (clean + moved).detach().requires_grad_(True)
            loss = objective(net, replace(batch, hidden=here, at=1))
            (gradient,) = torch.autograd.grad(loss, here)
            gradient = gradient * mask
            moved = moved + self.step * most * gradient / _length(gradient).clamp(min=1e-12)
            moved = moved * (most / _length(moved).clamp(min=1e-12)).clamp(max=1.0)
        # What makes the embeddings may learn too: the clean ones are computed again with gradients.
        again = net.backbone.activations(batch.inputs, 1) if hidden is None else hidden
        return replace(batch, hidden=again + moved.detach(), at=1)


def _length(values: Tensor) -> Tensor:
    """The Euclidean length of each window, (windows, 1, 1)."""
    found: Tensor = torch.linalg.vector_norm(values, dim=(1, 2), keepdim=True)
    return found
