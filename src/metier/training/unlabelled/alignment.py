"""Losses that bring the features of two sets of rows together, and what learns from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from metier.training.beside import Beside, Both
from metier.training.net import Net
from metier.training.objectives import Batch, Objective

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Widths of the kernels, in those of the median distance."""
HOT = 2.5
"""What scores are divided by before confusion is counted, as its authors do."""
LAYER, RATE = 64, 1e-3
"""Width and learning rate of what tells the domains apart."""
RAMP = 50
"""Steps until the net works fully against it: before, it has learned too little to follow."""

Apart = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A loss of labelled features (n, width), unlabelled ones (m, width) and their scores (m, k)."""


def aligned(apart: Apart, weight: float = 1.0) -> Both:
    """Return a loss on labelled rows and one that unlabelled rows lower by being like them.

    Args:
        apart: how far the features of both are apart, or how confused the answers are.
        weight: of that loss.
    """

    def both(inner: Objective, beside: Beside, net: Net, batch: Batch) -> Tensor:
        with _watched(net) as seen:
            loss = inner(net, batch)
        more = beside.draw(net, batch.at)
        theirs = net.backbone(more.inputs, more.hidden, more.at)
        scores = net.head(net.dropout(theirs))
        return loss + weight * apart(_last(seen, len(batch.digests)), theirs, scores)

    return both


def _last(seen: list[Tensor], rows: int) -> Tensor:
    """The features of the last passes that hold so many rows, in any order.

    A loss of pairs passes a batch in pieces, and an attack passes it before it is learned from.
    """
    found: list[Tensor] = []
    while seen and sum(map(len, found)) < rows:
        found.append(seen.pop())
    return torch.cat(found)


@contextmanager
def _watched(net: Net) -> Iterator[list[Tensor]]:
    """Keep the features that passes give meanwhile, so that none is computed twice."""
    seen: list[Tensor] = []
    handle = net.backbone.register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()


def coral(own: Tensor, theirs: Tensor, _: Tensor) -> Tensor:
    """The distance of means and covariances (Sun and Saenko, 2016), without a unit: 0 in the mean
    when both are of one distribution.

    No row is compared with itself. A batch has fewer rows than features, so that two covariances of
    the same distribution are far apart; a net that is to lower that has to give up its features.
    """
    centre = torch.cat([own, theirs]).mean(0)
    own, theirs = own - centre, theirs - centre
    within, across = (own @ own.T, theirs @ theirs.T), own @ theirs.T
    spread = (within[0].diagonal().mean() + within[1].diagonal().mean()).detach() / 2 + 1e-12
    size = (_others(within[0] ** 2) + _others(within[1] ** 2)).detach() / 2
    size = size.clamp(min=float(spread) ** 2 / own.shape[1])
    means = _others(within[0]) + _others(within[1]) - 2 * across.mean()
    moments = _others(within[0] ** 2) + _others(within[1] ** 2) - 2 * (across**2).mean()
    return means / spread + moments / size


def _others(products: Tensor) -> Tensor:
    """The mean of (n, n) products of rows over pairs of different rows."""
    n = len(products)
    return (products.sum() - products.diagonal().sum()) / max(n * (n - 1), 1)


def mmd(own: Tensor, theirs: Tensor, _: Tensor) -> Tensor:
    """The maximum mean discrepancy under a sum of Gaussian kernels (Long et al., 2015)."""
    both = torch.cat([own, theirs])
    distances = torch.cdist(both, both) ** 2
    unit = distances.detach().median().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-distances / (width * unit)) for width in WIDTHS]).mean(0)
    n = len(own)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def confusion(_: Tensor, __: Tensor, scores: Tensor) -> Tensor:
    """Minimum class confusion (Jin et al., 2020): how often two classes are likely at once, rows
    that are surer counting for more."""
    chances = functional.softmax(scores / HOT, dim=1)
    entropy = -(chances * torch.log(chances + 1e-9)).sum(1)
    weights = (1 + torch.exp(-entropy)).detach()
    weights = len(weights) * weights / weights.sum()
    confused = (chances * weights[:, None]).T @ chances
    confused = confused / confused.sum(1, keepdim=True).clamp(min=1e-9)
    return (confused.sum() - confused.diagonal().sum()) / chances.shape[1]


class Rival:
    """What tells the two sets of rows apart, and the loss of a net that works against it.

    The gradient of the rival's own loss is reversed on its way into the net (Ganin et al., 2016).
    It learns by steps of its own, and what it has learned is part of no checkpoint.

    Args:
        width: of the features.
        seed: of its first weights.
        device: where it computes.
    """

    def __init__(self, width: int, seed: int, device: str) -> None:
        random = torch.Generator().manual_seed(seed)
        self.layers = nn.Sequential(
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Linear(width, LAYER),
            nn.ReLU(),
            nn.Linear(LAYER, 1),
        )
        with torch.no_grad():
            for weight in self.layers.parameters():
                spread = weight.shape[-1] ** -0.5 if weight.dim() > 1 else 0.0
                weight.copy_(torch.randn(weight.shape, generator=random) * spread)
        self.layers.to(device)
        self.optimizer = torch.optim.AdamW(self.layers.parameters(), lr=RATE)
        self.steps = 0

    def __call__(self, own: Tensor, theirs: Tensor, _: Tensor) -> Tensor:
        self._learn(own.detach(), theirs.detach())
        for weight in self.layers.parameters():
            weight.requires_grad_(False)
        loss = -self._told(own, theirs)
        self.steps += 1
        return loss * min(1.0, self.steps / RAMP)

    def _learn(self, own: Tensor, theirs: Tensor) -> None:
        for weight in self.layers.parameters():
            weight.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        self._told(own, theirs).backward()
        self.optimizer.step()

    def _told(self, own: Tensor, theirs: Tensor) -> Tensor:
        """The mean loss of telling the rows apart, both sets counting alike."""
        return 0.5 * (
            functional.softplus(self.layers(own)).mean()
            + functional.softplus(-self.layers(theirs)).mean()
        )


def recoloured(own: Tensor, theirs: Tensor, ridge: float = 1.0) -> Tensor:
    """Return features (n, width) with the mean and covariance of others (Sun et al., 2016).

    They are whitened by their own covariance and coloured by the others', `ridge` times the mean
    variance added to both, so that directions without rows are left alone.
    """
    whiten, centre = _root(own, ridge, -0.5)
    colour, there = _root(theirs, ridge, 0.5)
    return (own - centre) @ whiten @ colour + there


def _root(features: Tensor, ridge: float, power: float) -> tuple[Tensor, Tensor]:
    """A power of the covariance, and the mean."""
    rows = features.double()
    mean = rows.mean(0)
    centred = rows - mean
    cov = centred.T @ centred / max(len(rows) - 1, 1)
    level = ridge * float(cov.diagonal().mean()) + 1e-12
    values, vectors = torch.linalg.eigh(cov + level * torch.eye(len(cov), dtype=cov.dtype))
    found = (vectors * values.clamp(min=1e-12) ** power) @ vectors.T
    return found.to(features.dtype), mean.to(features.dtype)
