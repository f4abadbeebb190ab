"""Few steps that stop hardening: what is noticed, and what follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metier.evidence.robustness.pixels import Pixels
from metier.tasks.classify import Classify
from metier.training.attacks.adversaries import PixelSteps
from metier.training.attacks.collapse import CHECKED, Sparing
from metier.training.objectives import Batch, Supervised

RADIUS, ROWS = 8 / 255, 16
CLEAN = 0.5


class Bending(nn.Module):
    """Scores by how far the mean pixel has moved, in radii, along a given curve; right above 0."""

    def __init__(self, curve: Any) -> None:
        super().__init__()
        self.curve = curve

    def forward(self, inputs: Any, hidden: Any = None, at: int = 0) -> Tensor:
        moved = (inputs["pixel_values"].mean(dim=(1, 2, 3)) - CLEAN) / RADIUS
        margin = self.curve(moved)
        return torch.stack([margin, torch.zeros_like(margin)], dim=1)


def masking(moved: Tensor) -> Tensor:
    """Right where it stands and where one whole step ends; wrong in between."""
    return (moved - 0.1) * (moved - 0.8)


def yielding(moved: Tensor) -> Tensor:
    """Right near where it stands only, and its gradient says so."""
    return 0.3 - moved


def firm(moved: Tensor) -> Tensor:
    """Right within the radius."""
    return 2.0 - moved


def given(first: PixelSteps) -> tuple[Sparing, Batch]:
    task = Classify.from_labels(("right", "wrong"))
    batch = Batch(
        {"pixel_values": torch.full((ROWS, 3, 16, 16), CLEAN)},
        None,
        0,
        torch.zeros(ROWS, dtype=torch.long),
        np.arange(ROWS, dtype=np.uint64),
    )
    torch.manual_seed(0)
    return Sparing(first, Supervised(task)), batch


def pixel_steps(steps: int, step: float) -> PixelSteps:
    return PixelSteps(Pixels((1.0,) * 3, (0.0,) * 3), RADIUS, steps, step)


def test_a_net_that_withstands_its_own_step_alone_is_found_out() -> None:
    sparing, batch = given(pixel_steps(1, 1.25))
    net: Any = Bending(masking)
    assert sparing.astray(net, batch) == {"rows": ROWS, "steps": 1, "withstood": ROWS, "left": 0}


@pytest.mark.parametrize("curve", [firm, yielding])
def test_a_net_that_more_steps_find_as_it_is_goes_on(curve: Any) -> None:
    sparing, batch = given(pixel_steps(1, 1.25))
    net: Any = Bending(curve)
    assert sparing.astray(net, batch) is None


def test_an_attack_as_long_as_the_check_is_not_checked() -> None:
    sparing, batch = given(pixel_steps(CHECKED, 0.0))
    net: Any = Bending(yielding)
    assert sparing.astray(net, batch) is None
    shorter, batch = given(pixel_steps(CHECKED - 1, 0.0))
    assert shorter.astray(net, batch) is not None


def test_each_turn_doubles_the_steps_within_the_same_radius() -> None:
    sparing, batch = given(pixel_steps(1, 0.0))
    seen: list[int] = []

    class Counting(Bending):
        def forward(self, inputs: Any, hidden: Any = None, at: int = 0) -> Tensor:
            seen.append(1)
            return super().forward(inputs, hidden, at)

    net: Any = Counting(yielding)
    for turns, steps in ((0, 1), (1, 2), (2, 4), (0, 1)):
        sparing.begin(turns)
        seen.clear()
        moved = sparing(net, batch, sparing.loss).inputs["pixel_values"] - CLEAN
        assert len(seen) == steps
        assert float(moved.abs().max()) <= RADIUS + 1e-6
        # Steps of no length leave the random start; after a turn they go up the loss.
        assert (float(moved.mean()) > 0.5 * RADIUS) == (turns > 0)
