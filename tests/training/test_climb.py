from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.training.climb import climb


@given(st.integers(0, 9), st.integers(0, 9))
def test_finds_the_bottom_of_a_valley(first: int, bottom: int) -> None:
    tried: list[int] = []

    def loss(value: int) -> float:
        tried.append(value)
        return abs(value - bottom)

    assert climb(range(10), first, loss) == bottom
    assert len(tried) == len(set(tried))


def test_tries_nothing_more_when_the_time_is_over() -> None:
    assert climb((1, 2, 3), 2, {2: 5.0}.__getitem__, until=0.0) == 2


def test_the_first_must_be_a_rung() -> None:
    with pytest.raises(ValueError, match="not in"):
        climb((1, 2), 5, float)
