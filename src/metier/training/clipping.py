"""Clipped activations (ReLU6) that keep one byte an element for their gradient instead of four.

Whether an input lay inside the bounds is all that the gradient depends on; torch keeps the input
itself, which in a MobileNet is a fourth of what a training step holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Clip(torch.autograd.Function):
    """Clips to bounds; the gradient passes where an input lay between them."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward((given > low).logical_and_(given < high))
        return given.clamp(low, high)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


class Clip(nn.Hardtanh):
    """`nn.Hardtanh` (and so `nn.ReLU6`) with the same numbers and gradients."""

    def forward(self, input: Tensor) -> Tensor:  # torch's own name of the argument
        """Clip each element to the bounds."""
        clip: Any = _Clip
        clipped: Tensor = clip.apply(input, self.min_val, self.max_val)
        return clipped


@contextmanager
def light_clips(net: nn.Module) -> Iterator[None]:
    """Swap every plain clipped activation below `net` for a light one; put them back at the end."""
    swapped = [
        (parent, name, child)
        for parent in net.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Hardtanh) and type(child) in (nn.ReLU6, nn.Hardtanh)
    ]
    for parent, name, child in swapped:
        setattr(parent, name, Clip(child.min_val, child.max_val))
    try:
        yield
    finally:
        for parent, name, child in swapped:
            setattr(parent, name, child)
