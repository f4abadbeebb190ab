"""Shares of classes among rows without labels."""

from __future__ import annotations

import numpy as np

from metier.evidence.unlabelled.labelshift import estimate_shares, shares_of
from metier.evidence.unlabelled.shift import measure_shift

NAMES = ("low", "high")


def two_clouds(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    classes = (random.random(n) < share).astype(np.int64)
    return (random.normal(size=(n, 3)) + 1.6 * classes[:, None]), classes


def test_a_class_that_became_rare_is_estimated_and_told() -> None:
    own, classes = two_clouds(400, 0.5, 0)
    others, truth = two_clouds(500, 0.15, 1)
    found = estimate_shares(own, others, classes, NAMES, seed=0)
    assert found is not None
    high = found.classes[1]
    assert high.changed and high.low <= truth.mean() <= high.high
    assert high.high - high.low < 0.2
    assert {each.name for each in found.findings} == {"label_shift[low]", "label_shift[high]"}


def test_the_same_shares_are_told_as_no_change() -> None:
    changed = 0
    for seed in range(10):
        own, classes = two_clouds(200, 0.5, 10 + seed)
        others, _ = two_clouds(200, 0.5, 50 + seed)
        found = estimate_shares(own, others, classes, NAMES, seed=0)
        assert found is not None
        changed += found.classes[0].changed
    assert changed <= 1


def test_a_common_class_is_not_taken_for_more_common_than_it_is() -> None:
    off, changed = [], 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        means = 0.4 * random.normal(size=(2, 32))
        own, others = ((random.random(n) < 0.15).astype(np.int64) for n in (200, 600))
        rows = [means[each] + random.normal(size=(len(each), 32)) for each in (own, others)]
        found = estimate_shares(*rows, own, NAMES, seed=seed)
        assert found is not None
        off.append(found.classes[0].now - 0.85)
        changed += found.classes[0].changed
    # chance moves the mean of 25 runs by 0.007
    assert abs(np.mean(off)) < 0.018
    # 5 % of 25 are 1; three standard errors above are 4
    assert changed <= 4


def test_chances_made_for_other_shares_are_taken_back() -> None:
    random = np.random.default_rng(0)
    truth = (random.random(4000) < 0.1).astype(int)
    x = random.normal(size=4000) + 2 * truth
    chance = 1 / (1 + np.exp(-(2 * x - 2)))  # made for as many of both
    found = shares_of(np.stack([1 - chance, chance], axis=1), np.array([0.5, 0.5]))
    assert abs(found[1] - truth.mean()) < 0.03


def test_a_class_with_hardly_any_row_is_left_unsaid() -> None:
    own, classes = two_clouds(60, 0.5, 0)
    assert estimate_shares(own, own, classes, ("low", "high", "never"), seed=0) is None
    shift = measure_shift(own, own[:40], seed=0, classes=classes, names=("low", "high", "never"))
    assert shift.labels is None
