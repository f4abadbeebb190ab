"""What a pass costs in multiply-adds, and how many the machine can do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIZES = (512, 1024, 2048)
"""Sides of the square matrices by which the peak is measured: the small ones fit between two turns
of other programs."""
TRAINING = 3
"""A backward pass does twice the products of the forward pass: for inputs and for weights."""


@dataclass(frozen=True)
class Encoder:
    """The sizes of a transformer encoder that decide what a token costs."""

    blocks: int
    width: int
    inner: int

    @classmethod
    def of(cls, config: Any) -> Encoder:
        """Read them off a configuration of transformers."""
        return cls(config.num_hidden_layers, config.hidden_size, config.intermediate_size)

    def training_flops(self, lengths: Sequence[int], blocks: int | None = None) -> float:
        """Floating-point operations of forward and backward passes over texts of these lengths in
        tokens, through the given number of blocks (all when None), padding not counted."""
        dense = 4 * self.width**2 + 2 * self.width * self.inner
        # Attention multiplies every token with every other one twice: by keys, then by values.
        forward = sum(dense * n + 2 * self.width * n * n for n in lengths)
        return TRAINING * 2.0 * forward * (self.blocks if blocks is None else blocks)


def matmul_rate(threads: int, seconds: float = 1.0) -> float:
    """Return the sustained rate of fp32 matrix products right now, in operations a second: that of
    the size which does best.

    The clock of a shared machine wanders by a quarter within minutes, so a rate is only good for
    what is measured next to it.
    """
    import torch

    torch.set_num_threads(threads)
    best = 0.0
    for size in SIZES:
        a, b, out = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)
        torch.mm(a, b, out=out)
        began = time.perf_counter()
        products = 0
        while time.perf_counter() - began < seconds / len(SIZES):
            torch.mm(a, b, out=out)
            products += 1
        best = max(best, products * 2.0 * size**3 / (time.perf_counter() - began))
    return best
