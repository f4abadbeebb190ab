"""How much the loss would change without a structure, to first order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metier.errors import Pruned
from metier.sources.backbone import Backbone
from metier.training.batches import budgeted
from metier.training.compression.surgery import Part
from metier.training.feed import Feed
from metier.training.net import Net
from metier.types import Task

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """Mean changes of the loss: `parts` (structures,) each, in the order given, and `blocks`."""

    parts: tuple[Weights, ...]
    blocks: Weights


@dataclass(frozen=True)
class _Sums:
    """What has been added up so far over rows."""

    parts: list[Weights]
    blocks: Weights


def weigh(
    net: Net,
    parts: Sequence[Part],
    feed: Feed,
    targets: NDArray[Any],
    task: Task,
    rows: NDArray[np.int64],
    deadline: float | None = None,
) -> Importance:
    """Return the importance of all structures of the parts and of all blocks.

    A structure is taken for a gate of value 1: the loss of a row changes by about the gate's
    gradient when it is shut, whose size is averaged over rows (Michel et al., 2019; Molchanov et
    al., 2019). A block without which its input goes on unchanged is weighed in the same way.

    Args:
        net: the network, in which nothing is changed.
        parts: what may be cut.
        feed: rows as batches.
        targets: their encoded targets.
        task: gives the loss.
        rows: the rows to look at.
        deadline: a time.monotonic() instant after which Pruned is raised.
    """
    backbone = net.backbone
    sums = _Sums([np.zeros(p.count) for p in parts], np.zeros(len(backbone.blocks)))
    device = net.head.weight.device
    wanted = torch.as_tensor(targets).to(device)
    net.eval()
    with _gradients(net), _watched(backbone, parts, sums):
        for batch in budgeted(rows, feed.costs[rows], feed.budget):
            if deadline is not None and time.monotonic() > deadline:
                raise Pruned("out of time")
            loss = task.loss(net(feed.inputs(batch)), wanted[torch.from_numpy(batch)])
            # The mean loss of a batch hides the gradient of a row behind the number of rows.
            (loss * len(batch)).backward()
            net.zero_grad(set_to_none=True)
    count = max(1, len(rows))
    return Importance(tuple(part / count for part in sums.parts), sums.blocks / count)


@contextmanager
def _gradients(net: Net) -> Iterator[None]:
    """Let gradients flow from what enters the lowest layers, which is all that is needed."""
    asked = [(p, p.requires_grad) for p in net.parameters()]
    try:
        for name, parameter in net.backbone.named_parameters():
            parameter.requires_grad_(net.backbone.level_of(name) == 0)
        yield
    finally:
        for parameter, before in asked:
            parameter.requires_grad_(before)
        net.zero_grad(set_to_none=True)


@contextmanager
def _watched(backbone: Backbone, parts: Sequence[Part], sums: _Sums) -> Iterator[None]:
    model = backbone.model
    handles = [
        model.get_submodule(part.taker).register_forward_pre_hook(_gate(part, sums.parts[i]))
        for i, part in enumerate(parts)
    ]
    for k, block in enumerate(backbone.blocks):
        handles.append(block.register_forward_hook(_bypass(k, sums), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _gate(part: Part, total: Weights) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
        # What a hook holds must not hold the graph that holds the hook.
        given = args[0].detach()
        last = isinstance(module, nn.Linear)

        def add(gradient: Tensor) -> None:
            change = (given * gradient).movedim(-1 if last else 1, -1)
            each = change.reshape(len(change), -1, part.count, part.size).sum((1, 3))
            np.add(total, each.abs().sum(0).double().cpu().numpy(), out=total)

        args[0].register_hook(add)

    return enter


def _bypass(k: int, sums: _Sums) -> Callable[..., None]:
    def leave(_: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        given: Tensor = args[0] if args else kwargs["hidden_states"]
        gives: Tensor = output[0] if isinstance(output, tuple) else output
        if given.shape != gives.shape:
            return
        difference = (gives - given).detach()

        def add(gradient: Tensor) -> None:
            change = (difference * gradient).flatten(1).sum(1)
            sums.blocks[k] += float(change.abs().sum())

        gives.register_hook(add)

    return leave
