"""The device that networks learn on."""

from __future__ import annotations

import torch

from metier.training.device import best_device


def test_the_device_is_one_that_torch_has() -> None:
    assert best_device() == ("cuda" if torch.cuda.is_available() else "cpu")
    torch.zeros(1, device=best_device())
