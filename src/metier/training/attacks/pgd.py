"""Attacks that follow the gradient of a net into its pixels: FGSM and PGD.

A radius is the most that any pixel may move, in units of a picture whose pixels run from 0 to 1
(L-infinity), in the size that the network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metier.evidence.robustness.aims import Aim, cuts
from metier.evidence.robustness.pixels import Pixels
from metier.runtime.postprocess import Decision

Answer = Callable[[Tensor], Tensor]
"""From pixels (n, 3, height, width), 0 to 1, to scores (n, outputs)."""


@dataclass(frozen=True)
class Budget:
    """How an iterated attack may move.

    Args:
        radius: the most that any pixel may move.
        steps: gradient steps of each start.
        step: the length of a step; None takes 2.5 * radius / steps, which reaches every corner of
            the ball and still settles (Madry et al., 2018).
        restarts: starts, the first from the picture itself, the others from random points. They
            climb the cross-entropy and the margin of the scores in turns (Carlini and Wagner,
            2017), so that a saturated softmax hides nothing.
    """

    radius: float
    steps: int = 20
    step: float | None = None
    restarts: int = 2

    @property
    def length(self) -> float:
        """The length of a step."""
        return 2.5 * self.radius / self.steps if self.step is None else self.step


@dataclass(frozen=True)
class Moved:
    """Attacked pixels, (n, 3, height, width), and the share of rows without any gradient."""

    pixels: Tensor
    flat: float


def fgsm(answer: Answer, pixels: Tensor, aim: Aim, radius: float) -> Moved:
    """Move every pixel once, by the whole radius (Goodfellow et al., 2015)."""
    return pgd(answer, pixels, aim, Budget(radius, steps=1, step=radius, restarts=1))


def pgd(answer: Answer, pixels: Tensor, aim: Aim, budget: Budget, seed: int = 0) -> Moved:
    """Climb the loss in small steps, each cut back to the radius (Madry et al., 2018).

    Of all points that were visited the first one that is answered wrong is kept, else the most
    harmful one; a row that is wrong already is not moved further. `answer` must be free of
    randomness.
    """
    random = torch.Generator().manual_seed(seed)
    targets = torch.as_tensor(aim.truth).to(pixels.device)
    found = pixels.clone()
    harm = torch.full((len(pixels),), -torch.inf, device=pixels.device)
    flat = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
    open_ = torch.arange(len(pixels), device=pixels.device)
    for start in range(budget.restarts):
        here = pixels[open_].clone()
        if start:
            noise = torch.rand(here.shape, generator=random).to(here)
            here = (here + (2 * noise - 1) * budget.radius).clamp(0, 1)
        for step in range(budget.steps + 1):
            last = step == budget.steps
            scores, gradient = _look(
                answer, here, targets[open_], aim.decision, start % 2 == 1, not last
            )
            told = scores.double().cpu().numpy()
            own = aim.take(open_.cpu().numpy())
            now = torch.as_tensor(own.harm(told), dtype=harm.dtype, device=harm.device)
            kept = torch.as_tensor(~own.wrong(told), device=here.device)
            better = ~kept | (now > harm[open_])
            found[open_[better]], harm[open_[better]] = here[better], now[better]
            if gradient is None:
                open_ = open_[kept]
                continue
            if start == 0 and step == 0:
                flat = gradient.flatten(1).abs().amax(1) == 0
            open_, here, gradient = open_[kept], here[kept], gradient[kept]
            if not len(open_):
                break
            start_at = pixels[open_]
            here = here + budget.length * gradient.sign()
            here = start_at + (here - start_at).clamp(-budget.radius, budget.radius)
            here = here.clamp(0, 1)
        if not len(open_):
            break
    return Moved(found, float(flat.float().mean()))


def _look(
    answer: Answer,
    pixels: Tensor,
    targets: Tensor,
    decision: Decision,
    margin: bool,
    climbs: bool,
) -> tuple[Tensor, Tensor | None]:
    """The scores at some pixels, and the gradient of the loss there where it is asked for."""
    if not climbs:
        with torch.no_grad():
            return answer(pixels), None
    here = pixels.detach().requires_grad_(True)
    with torch.enable_grad():
        scores = answer(here)
        loss = losses(scores, targets, decision, margin).sum()
        (gradient,) = torch.autograd.grad(loss, here)
    return scores.detach(), gradient


def losses(scores: Tensor, targets: Tensor, decision: Decision, margin: bool = False) -> Tensor:
    """Return what an attack climbs, one value a row: the task's loss, or the margin of the scores.

    `targets` are encoded; (n,) for classes and numbers, (n, labels) for labels, whose margins run
    from their thresholds and are joined softly, as in `Aim.harm`.
    """
    if decision.kind == "regression":
        return (scores[:, 0] - targets).square()
    if decision.kind == "multilabel":
        if margin:
            beyond = scores - torch.as_tensor(cuts(decision)).to(scores)
            return torch.where(targets > 0, -beyond, beyond).logsumexp(1)
        each = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return each.sum(1)
    if not margin:
        return functional.cross_entropy(scores, targets, reduction="none")
    right = scores.gather(1, targets[:, None])[:, 0]
    others = scores.scatter(1, targets[:, None], -torch.inf)
    return others.amax(1) - right


def answering(net: nn.Module, pixels: Pixels) -> Answer:
    """Return how a net answers pixels from 0 to 1."""

    def answer(given: Tensor) -> Tensor:
        scores: Tensor = net({"pixel_values": entering(given, pixels)})
        return scores

    return answer


def entering(given: Tensor, pixels: Pixels) -> Tensor:
    """Return the inputs of a network for pixels from 0 to 1."""
    unit, zero = (_by_channel(values, given) for values in (pixels.unit, pixels.zero))
    return given * unit + zero


def leaving(inputs: Tensor, pixels: Pixels) -> Tensor:
    """Return the pixels, from 0 to 1, that the inputs of a network were made of."""
    unit, zero = (_by_channel(values, inputs) for values in (pixels.unit, pixels.zero))
    return ((inputs - zero) / unit).clamp(0, 1)


def _by_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


@contextmanager
def as_at_predict(net: nn.Module) -> Iterator[None]:
    """Let a net answer as it will when it is used (no dropout, fixed statistics), then go on as
    it was: an attack that saw anything else would be one on another model."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def in_numpy(pixels: Tensor) -> NDArray[Any]:
    """Return pixels as the runtime takes them."""
    return np.asarray(pixels.detach().cpu().numpy(), dtype=np.float32)
