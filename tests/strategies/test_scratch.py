from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metier.strategies.scratch import Scratch
from metier.training.net import NetModel
from metier.types import Specialist, Table

Learn = Callable[..., Specialist]
Tables = Callable[..., Table]


def test_it_owes_nothing_to_the_pretrained_weights(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    specialist = learn(Scratch(epochs=1), tiny_table(source, 40), "multiclass", source, seed=7)
    assert isinstance(specialist.model, NetModel) and specialist.model.untouched == 0
    old, new = source.load(), specialist.model.net.backbone
    assert [n for n, _ in old.named_parameters()] == [n for n, _ in new.named_parameters()]
    for (name, one), two in zip(old.named_parameters(), new.parameters(), strict=True):
        if one.dim() > 1:
            correlation = torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1]
            assert abs(float(correlation)) < 0.3, name
    assert specialist.lineage[0].strategy == "scratch"


@pytest.mark.parametrize(
    ("name", "kind"), [("bert", "binary"), ("bert", "regression"), ("vit", "binary")]
)
def test_it_learns_what_can_be_learned(
    name: str, kind: str, tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 80, kind)
    specialist = learn(Scratch(epochs=15, rate=2e-3), table, kind, source)
    scores, truth = specialist.scores(table), specialist.task.encode(table)
    if kind == "regression":
        assert np.corrcoef(scores[:, 0], truth)[0, 1] > 0.8
        assert abs(scores.mean() - truth.mean()) < truth.std()
    else:
        assert (scores.argmax(1) == truth).mean() > 0.8
