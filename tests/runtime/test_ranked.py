"""Ranks among calibration scores, kept small."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metier.runtime.ranked import Ranked, p_values, read, written


def test_few_scores_are_kept_as_they_are() -> None:
    found = Ranked.of(np.array([3.0, 1.0, 1.0, np.nan, 2.0]))
    assert found.values.tolist() == [1, 2, 3] and found.counts.tolist() == [2, 1, 1]
    assert found.n == 4
    assert [each.tolist() for each in found.beyond(np.array([0, 1, 1.5, 3, 9]))] == [
        [4, 2, 2, 0, 0],
        [0, 2, 0, 1, 0],
    ]
    assert found.quantile(1) == found.quantile(2) == 1
    assert found.quantile(4) == 3 and found.quantile(5) == float("inf")


def test_of_many_the_highest_are_kept_and_the_others_rounded_up() -> None:
    scores = np.random.default_rng(0).normal(size=50_000)
    found = Ranked.of(scores, 256)
    assert found.n == 50_000 and len(found.values) <= 256
    assert found.values[-1] == np.float32(scores.max())
    whole = Ranked.of(scores, 100_000)
    new = np.linspace(-4, 4, 100)
    small, exact = (p_values(new, each) for each in (found, whole))
    assert (small >= exact - 1e-12).all(), "rounded up, never down"
    assert np.abs(small - exact).max() < 0.02
    assert len(json.dumps(found.to_json())) < 5000


def test_lots_put_together_are_one_lot() -> None:
    parts = [
        Ranked.of(np.array([1.0, 1, 2])),
        Ranked.of(np.zeros(0)),
        Ranked.of(np.array([2.0, 5])),
    ]
    found = Ranked.together(parts)
    assert found.values.tolist() == [1, 2, 5] and found.counts.tolist() == [2, 2, 1]


def test_json_there_and_back() -> None:
    for scores in (np.arange(5.0), np.repeat([1.0, 2.0], 3), np.zeros(0)):
        found = Ranked.from_json(json.loads(json.dumps(Ranked.of(scores).to_json())))
        assert found.values.tolist() == np.unique(scores).tolist() and found.n == len(scores)


@pytest.mark.parametrize(
    "data",
    [
        {"values": written(np.array([2, 1], np.float32)), "counts": []},
        {"values": written(np.array([1, 2], np.float32)), "counts": [1]},
        {"values": written(np.array([1, 2], np.float32)), "counts": [1, 0]},
        {"values": "not base64!", "counts": []},
    ],
)
def test_what_is_no_table_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Ranked.from_json(data)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        read(written(np.array([np.inf], np.float32)))


@pytest.mark.filterwarnings("error")
def test_a_score_too_large_to_be_kept_is_beyond_all_others() -> None:
    higher, equal = Ranked.of(np.array([1.0, 2.0])).beyond(np.array([1e300, 0.0]))
    assert higher.tolist() == [0, 2] and equal.tolist() == [0, 0]


def test_p_values_with_luck_are_uniform_whatever_the_ties() -> None:
    random = np.random.default_rng(1)
    among = Ranked.of(random.integers(0, 3, 400).astype(float))
    new = random.integers(0, 3, 20_000).astype(float)
    found = p_values(new, among, random.random(20_000))
    assert np.abs(np.quantile(found, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.06
    assert (p_values(new, among) >= found - 1e-12).all()
