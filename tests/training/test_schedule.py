"""How fast which weights learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from metier.training.schedule import Schedule

from .conftest import QUICK, Counting, Make, changed, level


def test_lower_blocks_learn_at_lower_rates(ready: Make) -> None:
    """After one step Adam has moved each weight by its rate, whatever its gradient was."""
    made = ready("bert")
    before = made.state()
    schedule = Schedule(
        epochs=0.1, rate=0.1, head_rate=0.7, layer_decay=0.5, weight_decay=0.0, rows=30, clip=0.0
    )
    assert made.go(schedule).steps == 1
    after = made.state()
    depth = made.net.backbone.depth
    for lowest, name in enumerate(("word_embeddings", "layer.0.", "layer.1.", "layer.2.", "head")):
        moved = torch.cat([(after[k] - before[k]).abs().flatten() for k in before if name in k])
        rate = 0.7 if name == "head" else 0.1 * 0.5 ** (depth - 1 - lowest)
        assert moved[moved > 0].median() == pytest.approx(1e-3 * rate, rel=0.05), name


def test_gradual_unfreezing_leaves_lower_blocks_alone_at_first(ready: Make) -> None:
    made = ready("bert", 1)
    before = made.state()
    seen: dict[int, set[int]] = {}

    def note(step: int) -> None:
        seen[step] = {level(made.net, key) for key in changed(before, made.state())}

    made.objective = Counting(made.objective, note)
    made.go(replace(QUICK, epochs=10, unfreeze=1.0, weight_decay=0.1))
    depth = made.net.backbone.depth
    assert seen[1] == set()
    assert seen[8] == {depth} and seen[15] == {depth, depth - 2}
    assert seen[40] == {1, 2, 3, depth}
    woken = [min(levels) for levels in seen.values() if levels]
    assert woken == sorted(woken, reverse=True)


def test_weights_decay_but_not_biases_norms_and_embeddings(ready: Make) -> None:
    made = ready("bert")
    decaying, plain = made, ready("bert")
    schedule = replace(QUICK, epochs=5, rate=1e-3)
    decaying.go(replace(schedule, weight_decay=50.0))
    plain.go(replace(schedule, weight_decay=0.0))
    one, two = decaying.state(), plain.state()
    key = "backbone.model.encoder.layer.1.output.dense.weight"
    assert one[key].norm() < 0.95 * two[key].norm()
    spare = "backbone.model.embeddings.word_embeddings.weight"
    assert torch.equal(one[spare][5:25], ready("bert").state()[spare][5:25])
