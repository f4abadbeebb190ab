"""Importance is the change of the loss, to first order, and finding it changes nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metier.errors import Pruned
from metier.training.compression.anatomy import find_parts
from metier.training.compression.importance import weigh
from metier.training.compression.surgery import silence
from tests.training.compression.cutting import probe_of
from tests.training.conftest import Ready

Make = Callable[..., Ready]
ROWS = np.arange(8)


def weighed(made: Ready, parts: Any, rows: Any = ROWS, **more: Any) -> Any:
    task: Any = made.objective
    return weigh(made.net, parts, made.feed, made.targets, task.task, rows, **more)


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_it_is_the_gradient_of_a_gate(name: str, kind: str, ready: Make) -> None:
    made = ready(name, kind=kind)
    net = made.net.eval()
    part = find_parts(net.backbone, probe_of(net.backbone))[0]
    found = weighed(made, [part]).parts[0]
    wanted = np.zeros(part.count)
    task: Any = made.objective
    for row in ROWS:
        gates = torch.ones(part.count, requires_grad=True)

        def gate(module: Any, args: Any, gates: torch.Tensor = gates) -> Any:
            wide = gates.repeat_interleave(part.size)
            return (args[0] * (wide if name == "bert" else wide[:, None, None]),)

        handle = net.backbone.model.get_submodule(part.taker).register_forward_pre_hook(gate)
        rows = np.array([row])
        targets = torch.as_tensor(made.targets[rows])
        task.task.loss(net(made.feed.inputs(rows)), targets).backward()
        handle.remove()
        assert gates.grad is not None
        wanted += gates.grad.abs().numpy()
    np.testing.assert_allclose(found, wanted / len(ROWS), rtol=1e-3, atol=1e-6 * wanted.max())


def test_what_is_dead_is_worth_nothing(ready: Make) -> None:
    made = ready("bert")
    parts = find_parts(made.net.backbone, probe_of(made.net.backbone))
    units = next(part for part in parts if part.sort == "units")
    silence(made.net.backbone.model, units, np.arange(10, units.count))
    found = weighed(made, [units]).parts[0]
    assert (found[:10] == 0).all() and (found[10:] > 0).all()


def test_a_block_that_does_nothing_is_worth_nothing(ready: Make) -> None:
    made = ready("vit")
    block: Any = made.net.backbone.blocks[2]
    with torch.no_grad():
        for layer in (block.attention.o_proj, block.mlp.fc2):
            layer.weight.zero_()
            layer.bias.zero_()
    blocks = weighed(made, []).blocks
    assert blocks[2] == 0 and (np.delete(blocks, 2) > 0).all()


def test_it_changes_nothing_and_holds_nothing(ready: Make) -> None:
    made = ready("bert")
    parts = find_parts(made.net.backbone, probe_of(made.net.backbone))
    asked = [p.requires_grad for p in made.net.parameters()]
    before = made.state()
    weighed(made, parts)
    assert [p.requires_grad for p in made.net.parameters()] == asked
    assert all(p.grad is None for p in made.net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in made.state().items())
    gc.collect()
    held = [
        o for o in gc.get_objects() if issubclass(type(o), torch.Tensor) and o.grad_fn is not None
    ]
    assert not held, "graphs of passes that are over"


def test_batches_do_not_matter(ready: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ready("bert")
    parts = find_parts(made.net.backbone, probe_of(made.net.backbone))
    one = weighed(made, parts)
    monkeypatch.setattr(type(made.feed), "budget", property(lambda _: 40))
    many = weighed(made, parts)
    for a, b in zip(one.parts, many.parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7)


def test_it_ends_in_time(ready: Make) -> None:
    with pytest.raises(Pruned, match="time"):
        weighed(ready("bert"), [], deadline=0.0)
