from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metier.training.batches import budgeted, pieces, shuffled

Costs = st.lists(st.integers(1, 300), min_size=1, max_size=400).map(np.asarray)


@given(Costs, st.integers(1, 40), st.integers(1, 2000), st.integers(0, 5))
def test_an_epoch_holds_every_row_once_within_its_bounds(
    costs: np.ndarray, size: int, budget: int, epoch: int
) -> None:
    batches = shuffled(costs, size, budget, (0, epoch))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(costs)))
    for batch in batches:
        assert len(batch) <= size
        assert len(batch) == 1 or costs[batch].max() * len(batch) <= budget


@given(Costs, st.integers(1, 2000))
def test_a_pass_without_gradients_holds_every_row_once(costs: np.ndarray, budget: int) -> None:
    rows = np.arange(len(costs)) + 7
    batches = list(budgeted(rows, costs, budget))
    assert sorted(np.concatenate(batches).tolist()) == rows.tolist()
    for batch in batches:
        assert len(batch) == 1 or costs[batch - 7].max() * len(batch) <= budget


@given(Costs, st.integers(1, 2000))
def test_pieces_of_a_batch_are_of_like_size_and_keep_to_their_budget(
    costs: np.ndarray, budget: int
) -> None:
    rows = np.arange(len(costs)) + 7
    found = pieces(rows, costs, budget)
    assert sorted(np.concatenate(found).tolist()) == rows.tolist()
    sizes = [len(piece) for piece in found]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert max(sizes) == 1 or costs.max() * max(sizes) <= budget
    assert len(found) == 1 or costs.max() * len(costs) > budget


def test_batches_follow_from_the_seed_and_change_with_the_epoch() -> None:
    costs = np.random.default_rng(0).integers(3, 60, 500)
    one, again, next_epoch = (shuffled(costs, 32, 4096, (1, epoch)) for epoch in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(one, next_epoch, strict=False))


def test_little_is_padded_and_the_order_of_lengths_is_random() -> None:
    costs = np.random.default_rng(0).integers(3, 100, 4000)
    batches = shuffled(costs, 32, 4096, (0, 0))
    padded = sum(int(costs[b].max()) * len(b) for b in batches)
    assert costs.sum() / padded > 0.93
    means = np.array([costs[b].mean() for b in batches])
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.3


def test_equal_rows_meet_others_in_the_next_epoch() -> None:
    costs = np.full(256, 9)
    first, second = (shuffled(costs, 32, 4096, (0, epoch)) for epoch in (0, 1))
    shared = max(len(np.intersect1d(first[0], batch)) for batch in second)
    assert shared < 16
