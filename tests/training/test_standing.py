"""A fit that is taken up again stands on the device of its net."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metier.training import loop
from metier.training.checkpoint import restore
from metier.training.schedule import Schedule
from metier.training.standing import Standing

from .conftest import Make


def test_what_was_read_from_a_disk_goes_to_the_device_of_the_net(
    ready: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors on the device `meta` stand for those of an accelerator."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    schedule = Schedule(epochs=2, rate=1e-3, rows=16, average=0.9, patience=2)
    made = ready("vit", 0, 40, watched=20)
    made.go(schedule, folder=tmp_path)
    found = restore(tmp_path)
    assert found is not None and found.facts["best_score"] is not None
    at = Standing(made.net.to("meta"), schedule, 0)
    at.return_to(found)
    states = [value for state in at.optimizer.state.values() for value in state.values()]
    assert at.step == found.facts["step"] > 0
    assert len(at.averages) == len(at.best) == len(at.kept)
    assert len(states) == sum(name.startswith("optimizer.") for name in found.tensors) > 0
    assert {tensor.device.type for tensor in (*at.averages, *at.best, *states)} == {"meta"}
    assert torch.equal(torch.get_rng_state(), found.tensors["random"])
