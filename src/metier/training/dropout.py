"""Dropout whose random numbers cost a fraction of torch's.

On a processor torch draws one number from its (serial) generator for every element, which took 7 %
of a training step of MiniLM. Here one draw of 64 bits decides four elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LEVELS = 1 << 16
"""Each element is decided by 16 random bits, so a rate is met to within 1/131,072."""


class Dropout(nn.Dropout):
    """`nn.Dropout` on a processor, with the same distribution and other draws."""

    def forward(self, input: Tensor) -> Tensor:  # torch's own name of the argument
        """Zero each element with probability `p` and scale the others by 1 / (1 - p)."""
        dropped = round(self.p * LEVELS)
        if not self.training or dropped in (0, LEVELS) or input.device.type != "cpu":
            return super().forward(input)
        count = input.numel()
        draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[:count].view(input.shape)
        kept = (bits >= dropped - LEVELS // 2).to(input.dtype)
        return input * kept.mul_(LEVELS / (LEVELS - dropped))


@contextmanager
def quick_dropout(net: nn.Module) -> Iterator[None]:
    """Swap every plain dropout layer below `net` for a quick one; put them back at the end."""
    swapped = [
        (parent, name, child)
        for parent in net.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Dropout
    ]
    for parent, name, child in swapped:
        quick = Dropout(child.p)
        quick.train(child.training)
        setattr(parent, name, quick)
    try:
        yield
    finally:
        for parent, name, child in swapped:
            child.train(getattr(parent, name).training)
            setattr(parent, name, child)
