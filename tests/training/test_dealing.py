from __future__ import annotations

import numpy as np

from metier.training.dealing import evenly

CLASSES = np.array([0] * 7 + [1] * 2 + [2] + [3] * 5)
COSTS = np.ones(len(CLASSES), np.int64)


def test_no_row_is_without_one_of_its_class_and_none_is_left_out() -> None:
    for epoch in range(3):
        batches = evenly(CLASSES, 8, 2, 1000, seed=0)(COSTS, epoch)
        assert set(np.concatenate(batches)) == set(range(len(CLASSES)))
        for batch in batches:
            labels, counts = np.unique(CLASSES[batch], return_counts=True)
            assert len(labels) > 1, "there is something to tell it from"
            assert (counts % 2 == 0).all()


def test_a_seed_and_an_epoch_give_the_same_batches() -> None:
    one, two = (evenly(CLASSES, 8, 2, 1000, seed=3) for _ in range(2))
    for epoch in (0, 1):
        for a, b in zip(one(COSTS, epoch), two(COSTS, epoch), strict=True):
            assert (a == b).all()
    first, later = (np.concatenate(one(COSTS, epoch)) for epoch in (0, 1))
    assert (first != later).any()
    other = np.concatenate(evenly(CLASSES, 8, 2, 1000, seed=4)(COSTS, 0))
    assert (first != other).any()


def test_every_epoch_has_as_many_batches() -> None:
    """The loop counts steps by it, so that a fit can be taken up in the middle of an epoch."""
    deal = evenly(CLASSES, 6, 2, 1000, seed=1)
    assert len({len(deal(COSTS, epoch)) for epoch in range(5)}) == 1


def test_dear_rows_make_smaller_batches() -> None:
    dear = evenly(CLASSES, 16, 2, 400, seed=0)(100 * COSTS, 0)
    cheap = evenly(CLASSES, 16, 2, 100_000, seed=0)(100 * COSTS, 0)
    assert max(map(len, dear)) < max(map(len, cheap))
    assert min(map(len, dear)) >= 4
