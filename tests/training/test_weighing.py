"""Rows that count for more: everywhere that rows are learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from metier.tasks import build
from metier.training.heads import fit_head
from metier.training.objectives import Supervised
from metier.training.terms import fit_terms, fit_vocabulary
from metier.training.weighing import by_content, weighed
from metier.types import Roles, Table

TABLE = Table(
    pl.DataFrame({"x": [0.0, 1.0, 2.0, 2.0], "label": ["a", "b", "a", "b"]}),
    Roles({"x": "number"}, ("label",)),
)


def test_weights_go_where_the_rows_go_and_multiply() -> None:
    found = weighed(TABLE, np.array([1.0, 2.0, 3.0, 2.0]))
    assert found.weights is not None and found.weights.tolist() == [0.5, 1.0, 1.5, 1.0]
    assert found.take([2, 0]).weights is not None
    assert found.take([2, 0]).weights.tolist() == [1.5, 0.5]  # type: ignore[union-attr]
    twice = weighed(found, np.array([2.0, 1.0, 0.0, 1.0]))
    assert twice.weights is not None and twice.weights.tolist() == pytest.approx(
        [4 / 3, 4 / 3, 0, 4 / 3]
    )
    assert TABLE.weights is None and list(found.inputs.columns) == ["x"]


def test_rows_of_equal_content_share_their_weight() -> None:
    shared = by_content(TABLE.digests, np.array([1.0, 2.0, 3.0, 5.0]))
    assert len(shared) == 3 and shared[int(TABLE.digests[2])] == 4.0


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_a_weighted_loss_is_the_weighted_mean_of_the_rows(kind: Any) -> None:
    targets: Any = {
        "binary": torch.tensor([0, 1, 1]),
        "multilabel": torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]),
        "regression": torch.tensor([0.5, -1.0, 2.0]),
    }[kind]
    frame = {"binary": ["a", "b", "b"], "regression": [0.5, -1.0, 2.0]}.get(
        kind, [["a"], ["b"], []]
    )
    task = build(kind, Table(pl.DataFrame({"label": frame}), Roles({}, ("label",))))
    scores = torch.randn(3, 1 if kind == "regression" else 2, requires_grad=True)
    digests = np.array([7, 8, 9], dtype=np.uint64)
    weights = {7: 0.5, 8: 2.0, 9: 0.5}
    found = Supervised(task, rows=weights).of(scores, targets, digests)
    each = [Supervised(task).of(scores[i : i + 1], targets[i : i + 1]) for i in range(3)]
    wanted = (0.5 * each[0] + 2.0 * each[1] + 0.5 * each[2]) / 3
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    found.backward()
    assert scores.grad is not None and bool(scores.grad.abs().sum() > 0)
    plain = Supervised(task, rows=weights).of(scores, targets)
    assert float(plain) == pytest.approx(float(sum(each)) / 3, rel=1e-5)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_a_head_takes_a_weight_of_two_for_two_rows(kind: Any) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 3)).astype(np.float32)
    value = features[:, 0] + random.normal(size=60)
    targets: Any = {
        "binary": (value > 0).astype(int),
        "multilabel": np.stack([value > 0, value > 1], 1).astype(np.float32),
        "regression": value.astype(np.float32),
    }[kind]
    more = np.concatenate([np.arange(60), np.arange(30)])
    weights = np.where(np.arange(60) < 30, 2.0, 1.0)
    outputs = {"binary": 2, "multilabel": 2, "regression": 1}[kind]
    given: Any = {"strength": 1e5}
    a = fit_head(features, targets, kind, outputs, weights=weights, **given)
    b = fit_head(features[more], targets[more], kind, outputs, **given)
    plain = fit_head(features, targets, kind, outputs, **given)
    assert np.abs(a.weight - b.weight).max() < 0.2 * np.abs(plain.weight - b.weight).max()
    assert fit_head(features, targets, kind, outputs, weights=weights).strength > 0


def test_counted_terms_are_weighed_too() -> None:
    texts = ["good film", "bad film", "good one", "bad one"] * 10
    _, rows = fit_vocabulary({"text": texts}, ["text"], None)
    targets = np.array([1, 0, 1, 0] * 10)
    noisy = targets.copy()
    noisy[:20] = 1 - noisy[:20]
    weights = np.where(np.arange(40) < 20, 0.05, 1.0)
    found = fit_terms(rows, noisy, "binary", 2, [], strength=100.0, weights=weights)
    scores = np.asarray(rows @ found.table) + found.bias
    assert (scores.argmax(axis=1) == targets).all()
