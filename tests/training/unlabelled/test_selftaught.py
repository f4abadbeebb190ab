"""What a model is sure enough of."""

from __future__ import annotations

import numpy as np
import pytest

from metier.strategies.finetune import Finetune
from metier.strategies.reweigh import Reweigh
from metier.tasks.classify import Classify
from metier.training.unlabelled.selftaught import again, gain_of, losses, sure_of

EVEN = np.array([0.5, 0.5])


def calibrated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that say the truth about their own chances, and the classes."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 2.5, n)
    truth = (random.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return np.stack([-odds / 2, odds / 2], axis=1), truth


def test_as_many_labels_are_right_as_was_asked() -> None:
    scores, truth = calibrated(4000, 0)
    said = sure_of(scores, 1.0, 0.9, "binary", EVEN)
    right = (said.answers == truth[said.rows]).mean()
    assert abs(right - 0.9) < 0.03 and len(said.rows) > 1500
    stricter = sure_of(scores, 1.0, 0.98, "binary", EVEN)
    assert set(stricter.rows) < set(said.rows)


def test_scores_that_claim_too_much_are_cooled_first() -> None:
    scores, truth = calibrated(4000, 1)
    said = sure_of(4 * scores, 4.0, 0.95, "binary", EVEN)
    assert (said.answers == truth[said.rows]).mean() > 0.92


def test_a_hard_class_has_its_own_threshold_and_no_class_swallows_the_others() -> None:
    easy = np.stack([np.full(90, 6.0), np.zeros(90)], axis=1)
    hard = np.stack([np.zeros(10), np.full(10, 2.5)], axis=1)
    said = sure_of(np.concatenate([easy, hard]), 1.0, 0.9, "binary", np.array([0.1, 0.9]))
    assert (said.answers == 1).sum() == 10
    assert (said.answers == 0).sum() == 30  # three times its share


def test_several_labels_are_as_sure_as_the_least_sure_one() -> None:
    scores = np.array([[5.0, -5.0], [5.0, 0.1], [-6.0, -6.0]])
    said = sure_of(scores, 1.0, 0.9, "multilabel", EVEN)
    assert said.rows.tolist() == [0, 2]
    assert said.answers.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_losses_are_those_of_the_task() -> None:
    task = Classify.from_labels(("a", "b"))
    assert losses(np.zeros((2, 2)), np.array([0, 1]), 1.0, task) == pytest.approx(np.log(2))


def test_a_gain_has_an_interval() -> None:
    random = np.random.default_rng(0)
    before = random.random(200)
    gain = gain_of(before, before - 0.1 + 0.05 * random.normal(size=200), np.ones(200), 0)
    assert 0 < gain.low < gain.value < gain.high < 0.2 and gain.n == 200


def test_later_rounds_take_no_rows_to_stop_by_and_no_more_than_four_times_the_steps() -> None:
    notes = {"epochs": 5.0}
    later = again(Finetune(epochs=8, patience=2), notes, growth=2.0)
    assert isinstance(later, Finetune) and later.patience == 0 and later.epochs == 5.0
    longer = again(Reweigh(Finetune()), notes, growth=10.0)
    assert isinstance(longer, Reweigh) and isinstance(longer.inner, Finetune)
    assert longer.inner.epochs == pytest.approx(2.0)
