"""Episodes: what is drawn, and how two feature spaces are compared on them."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.episodes import Shape, carry, draw, nearest_mean

CLASSES = [np.arange(k * 20, k * 20 + 20) for k in range(6)]
SHAPE = Shape(ways=4, shots=3, queries=5)


def features(apart: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.repeat(np.eye(6, 8) * apart, 20, axis=0)
    return (centres + random.normal(size=(120, 8))).astype(np.float32)


def test_an_episode_asks_of_rows_that_it_did_not_show() -> None:
    found = draw(CLASSES, SHAPE, np.random.default_rng(0))
    assert found.support.shape == (4, 3) and len(found.queries) == 20
    assert not set(found.support.ravel()) & set(found.queries)
    of_class = found.support[:, 0] // 20
    assert (found.queries // 20 == of_class[found.truth]).all()


def test_classes_with_too_few_rows_are_left_out() -> None:
    few = [*CLASSES[:3], np.arange(200, 203)]
    with pytest.raises(ValueError, match="3 classes"):
        draw(few, SHAPE, np.random.default_rng(0))


def test_what_lies_apart_is_told_apart() -> None:
    episode = draw(CLASSES, SHAPE, np.random.default_rng(0))
    assert nearest_mean(features(20.0), episode) == 1.0
    assert nearest_mean(features(0.0), episode) < 0.6


def test_a_better_space_is_found_better_and_the_same_one_is_not() -> None:
    plain, better = features(1.0), features(3.0)
    found = carry(plain, better, [CLASSES], SHAPE, 60)
    assert found.verdict == "better" and found.low > 0 and found.n == 60 and found.p < 0.01
    assert found.difference == pytest.approx(found.after - found.before)
    assert carry(better, plain, [CLASSES], SHAPE, 60).verdict == "worse"
    same = carry(plain, plain, [CLASSES], SHAPE, 60)
    assert same.verdict == "not distinguishable" and same.difference == 0 and same.p == 1.0
