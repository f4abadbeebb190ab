"""Thresholds move when that pays, and stay when it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.evidence.metrics import measure
from metier.evidence.uncertainty.thresholds import fit_thresholds
from metier.runtime.postprocess import Decision

RULE = Decision("binary", ("no", "yes"))
MANY = Decision("multilabel", tuple("abcd"))
Array = np.ndarray[Any, Any]


def rare(n: int, seed: int, share: float = 0.05) -> tuple[Array, Array]:
    """Calibrated scores of a class that few rows have."""
    random = np.random.default_rng(seed)
    logit = random.normal(size=n) * 1.5 + np.log(share / (1 - share))
    y = (random.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    return y, np.stack([np.zeros(n), logit], axis=1)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "f1_macro", "mcc"])
def test_a_rare_class_gets_a_lower_threshold(metric: str) -> None:
    y, scores = rare(4000, 0)
    found = fit_thresholds(scores, y, RULE, metric)
    assert len(found) == 1
    assert found[0] < 0.4
    new_y, new_scores = rare(20_000, 1)
    moved = replace(RULE, thresholds=found)
    before = measure(metric, new_y, new_scores, RULE)
    assert measure(metric, new_y, new_scores, moved) > before + 0.02


def test_calibrated_scores_keep_their_threshold_for_accuracy() -> None:
    kept = 0
    for seed in range(20):
        y, scores = rare(100, seed, share=0.4)
        kept += fit_thresholds(scores, y, RULE, "accuracy") == ()
    assert kept >= 16


def test_a_shifted_score_is_put_right_for_accuracy() -> None:
    y, scores = rare(1000, 0, share=0.5)
    shifted = scores + np.array([0.0, 2.0])
    (found,) = fit_thresholds(shifted, y, RULE, "accuracy")
    assert found == pytest.approx(1 / (1 + np.exp(-2.0)), abs=0.08)


def test_what_no_threshold_serves_gets_none() -> None:
    y, scores = rare(500, 0)
    for metric in ("roc_auc", "log_loss", "precision", "recall", "recall_macro"):
        assert fit_thresholds(scores, y, RULE, metric) == ()
    costly = replace(RULE, costs=((0.0, 1.0), (5.0, 0.0)))
    assert fit_thresholds(scores, y, costly, "f1") == ()
    classes = Decision("multiclass", ("a", "b", "c"))
    three = np.random.default_rng(0).normal(size=(50, 3))
    assert fit_thresholds(three, y[:50], classes, "f1_macro") == ()
    assert fit_thresholds(scores[:6], y[:6], RULE, "f1") == ()


@pytest.mark.parametrize("metric", ["f1_micro", "f1_macro", "subset_accuracy"])
def test_labels_of_unequal_frequency(metric: str) -> None:
    def sample(n: int, seed: int) -> tuple[Array, Array]:
        random = np.random.default_rng(seed)
        logits = random.normal(size=(n, 4)) * 1.5 - np.array([0.0, 1.0, 2.0, 3.0])
        y = (random.random((n, 4)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
        return y, logits

    y, logits = sample(1500, 0)
    found = fit_thresholds(logits, y, MANY, metric)
    new_y, new_logits = sample(10_000, 1)
    before = measure(metric, new_y, new_logits, MANY)
    after = measure(metric, new_y, new_logits, replace(MANY, thresholds=found))
    assert len(found) in (0, 4)
    assert after >= before - 0.005
    if metric == "f1_macro":
        assert after > before + 0.05


def test_the_same_seed_gives_the_same_thresholds() -> None:
    y, scores = rare(800, 0)
    assert fit_thresholds(scores, y, RULE, "f1", seed=4) == fit_thresholds(
        scores, y, RULE, "f1", seed=4
    )


def test_one_class_only_moves_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(40, 2))
    assert fit_thresholds(scores, np.zeros(40, np.int64), RULE, "f1") == ()
