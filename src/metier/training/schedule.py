"""How long and how fast a network learns, and which of its parameters at which rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch

from metier.training.net import Net


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Args:
        epochs: passes over the rows; may be a fraction.
        rate: peak learning rate of the top block.
        head_rate: peak learning rate of the head.
        layer_decay: each block learns at this share of the rate of the one above it.
        weight_decay: decoupled (Loshchilov and Hutter, 2019), not on biases, norms, embeddings.
        warmup: share of the steps in which the rate climbs; it then falls to zero as a cosine.
        rows: rows a step at most.
        tokens: padded tokens a step at most.
        clip: largest norm of the gradient.
        patience: epochs without a better stopping score before it ends; 0 never stops early.
        average: decay of the moving average of the weights, which is what is kept; 0 keeps the
            weights themselves.
        unfreeze: blocks begin to learn one after the other, the top one first, over this share of
            the steps (Howard and Ruder, 2018); 0 lets all learn from the start.
    """

    epochs: float = 3.0
    rate: float = 5e-5
    head_rate: float = 1e-3
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.1
    rows: int = 32
    tokens: int = 4096
    clip: float = 1.0
    patience: int = 0
    average: float = 0.0
    unfreeze: float = 0.0

    @classmethod
    def of(cls, strategy: Any, **others: Any) -> Schedule:
        """The settings that a strategy has as fields of its own, and others given by name."""
        names = (each.name for each in fields(cls))
        own = {name: getattr(strategy, name) for name in names if hasattr(strategy, name)}
        return cls(**(own | others))

    def share(self, done: float) -> float:
        """The share of the peak rates at a point of the fit: up in a line while it warms up, then
        down to zero as a cosine.

        >>> [round(Schedule(warmup=0.5).share(done), 2) for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if done < self.warmup:
            return done / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / max(1 - self.warmup, 1e-9)))


def grouped(net: Net, schedule: Schedule) -> list[dict[str, Any]]:
    """Parameters by rate and decay: each level at a lower rate than the one above, and the head."""
    depth = net.backbone.depth
    embeddings = {
        id(module.weight)
        for module in net.backbone.modules()
        if isinstance(module, torch.nn.Embedding)
    }
    by_kind: dict[tuple[float, float, float], list[torch.nn.Parameter]] = {}
    learning = [
        (net.backbone.level_of(name), parameter)
        for name, parameter in net.backbone.named_parameters()
        if parameter.requires_grad
    ]
    lowest = min((level for level, _ in learning), default=depth)
    for level, parameter in learning:
        peak = schedule.rate * schedule.layer_decay ** (depth - 1 - level)
        decays = parameter.dim() > 1 and id(parameter) not in embeddings
        wakes = schedule.unfreeze * (depth - 1 - level) / max(depth - lowest, 1)
        key = (peak, schedule.weight_decay if decays else 0.0, wakes)
        by_kind.setdefault(key, []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": held, "lr": 0.0, "peak": peak, "weight_decay": decay, "wakes": wakes}
        for (peak, decay, wakes), held in by_kind.items()
    ]
    for own, decay in ((net.head.weight, schedule.weight_decay), (net.head.bias, 0.0)):
        if own.requires_grad:
            rate = schedule.head_rate
            group = {"params": [own], "lr": 0.0, "peak": rate, "weight_decay": decay, "wakes": 0.0}
            groups.append(group)
    return groups


def set_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, done: float) -> None:
    """Give every group its rate at a point of the fit, zero while it sleeps."""
    share = schedule.share(done)
    for group in optimizer.param_groups:
        awake = done >= group["wakes"]
        group["lr"] = group["peak"] * max(share, 1e-3) if awake else 0.0
