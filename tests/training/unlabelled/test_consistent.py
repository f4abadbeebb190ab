"""Answers that stay the same when a row is changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metier.training.objectives import Batch
from metier.training.unlabelled.consistent import disagreement, dropping, sureness


def batch(hidden: torch.Tensor | None, at: int, **inputs: torch.Tensor) -> Batch:
    return Batch(inputs, hidden, at, torch.zeros(0), np.zeros(4, dtype=np.uint64))


def test_the_same_sure_answer_costs_nothing_and_another_one_much() -> None:
    said = 12 * torch.eye(3)
    assert float(disagreement(said, said, "multiclass")) < 1e-3
    assert float(disagreement(-said, said, "multiclass")) > 3
    assert float(disagreement(said, said, "multilabel")) < 0.3
    assert float(disagreement(said + 2, said, "regression")) == pytest.approx(4.0)


def test_answers_below_the_mean_count_less() -> None:
    weights = sureness(torch.tensor([0.99, 0.9, 0.2]))
    assert weights[0] == weights[1] == 1.0 and 0 < float(weights[2]) < 0.5


def test_each_kind_of_input_loses_a_share_and_keeps_its_shape() -> None:
    torch.manual_seed(0)
    drop = dropping(0.25)
    mask = torch.ones((4, 40), dtype=torch.long)
    text = drop(batch(torch.ones((4, 40, 2)), 1, attention_mask=mask))
    seen = text.inputs["attention_mask"]
    assert seen[:, 0].all() and 0.6 < float(seen.float().mean()) < 0.9 and mask.all()
    maps = drop(batch(torch.ones((4, 3, 8, 8)), 2)).hidden
    assert maps is not None and float(maps.mean()) == pytest.approx(0.75)
    tokens = drop(batch(torch.ones((4, 30, 5)), 2)).hidden
    assert tokens is not None and 0.5 < float(tokens.mean()) < 0.95
    pixels = drop(batch(None, 0, pixel_values=torch.ones((4, 3, 16, 16)))).inputs["pixel_values"]
    assert float(pixels.mean()) == pytest.approx(0.75)
    features = drop(batch(torch.ones((4, 300)), 5)).hidden
    assert features is not None and 0.6 < float((features > 0).float().mean()) < 0.9
