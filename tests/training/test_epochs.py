"""Steps counted into epochs that have different numbers of batches."""

from __future__ import annotations

import numpy as np
import pytest

from metier.training.batches import shuffled
from metier.training.epochs import Epochs

LENGTHS = [4, 3, 5, 4, 2, 6]


def dealt(epoch: int) -> list[np.ndarray]:
    return [np.array([epoch, k]) for k in range(LENGTHS[epoch])]


def test_every_batch_of_every_epoch_comes_once() -> None:
    epochs = Epochs(dealt, alike=False)
    seen, step, ends = [], 0, []
    while step < epochs.steps(5):
        _, batches = epochs.left_in(step)
        for batch in batches:
            seen.append(tuple(batch.tolist()))
            step += 1
            if epochs.ends_at(step):
                ends.append(step)
    assert seen == [(e, k) for e in range(5) for k in range(LENGTHS[e])]
    assert ends == [4, 7, 12, 16, 18]


def test_a_fit_is_taken_up_in_the_middle_of_an_epoch() -> None:
    epoch, batches = Epochs(dealt, alike=False).left_in(9)
    assert epoch == 2 and [tuple(b.tolist()) for b in batches] == [(2, 2), (2, 3), (2, 4)]


@pytest.mark.parametrize(
    ("step", "done"), [(0, 0.0), (2, 0.5), (4, 1.0), (7, 2.0), (8, 2.2), (18, 5.0)]
)
def test_steps_are_told_in_epochs(step: int, done: float) -> None:
    assert Epochs(dealt, alike=False).done(step) == pytest.approx(done)


def test_epochs_are_planned_in_steps() -> None:
    epochs = Epochs(dealt, alike=False)
    assert [epochs.steps(e) for e in (0.01, 0.5, 1, 2.4, 5)] == [1, 2, 4, 9, 18]
    asked: list[int] = []

    def batches(epoch: int) -> list[np.ndarray]:
        asked.append(epoch)
        return dealt(epoch)

    assert Epochs(batches, alike=True).steps(100) == 400 and asked == [0]


def test_batches_under_a_budget_of_tokens_differ_in_number() -> None:
    """So that counting all epochs by the first would be wrong."""
    costs = np.random.default_rng(0).integers(20, 256, 3000)
    lengths = {len(shuffled(costs, 32, 4096, (1, epoch))) for epoch in range(6)}
    assert len(lengths) > 1
