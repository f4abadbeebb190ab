"""Scores against independent computations, and against what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from metier.errors import DataError
from metier.sources import score
from metier.sources.score import SCORES

N = 120


def classes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, N)


def features(width: int, signal: float = 1.0, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, width))
    found = rng.normal(size=(N, width)) + signal * 4 / width**0.5 * centres[classes()] + 2.0
    return found.astype(np.float32)


TARGETS = {
    "classes": classes(),
    "labels": np.stack([classes() % 2 == 0, classes() > 1], axis=1).astype(np.float32),
    "number": (classes() * 3.0 + 10.0).astype(np.float32),
}


@pytest.mark.parametrize("width", [16, 300])
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", SCORES)
def test_features_that_tell_more_score_higher(name: str, kind: str, width: int):
    found = [SCORES[name](features(width, signal), TARGETS[kind]) for signal in (0.0, 0.3, 1.0)]
    assert np.isfinite(found).all()
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("name", SCORES)
def test_class_numbers_are_only_names(name: str):
    x, y = features(16, 0.3), classes()
    renamed = np.array([3, 7, 40, 99])[y]
    assert SCORES[name](x, renamed) == pytest.approx(SCORES[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_the_unit_of_a_number_does_not_matter(name: str):
    x, y = features(16, 0.3), TARGETS["number"]
    assert SCORES[name](x, 1000 * y - 7) == pytest.approx(SCORES[name](x, y), abs=1e-3)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", SCORES)
def test_equal_targets_are_refused(name: str, kind: str):
    same = np.repeat(TARGETS[kind][:1], N, axis=0)
    with pytest.raises(DataError, match="the same target"):
        SCORES[name](features(8), same)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", SCORES)
def test_features_without_content_are_scored_low_and_not_refused(name: str, kind: str):
    empty = SCORES[name](np.zeros((N, 8), np.float32), TARGETS[kind])
    assert empty <= SCORES[name](features(8), TARGETS[kind])


@pytest.mark.parametrize("width", [10, 200])
def test_logme_is_the_highest_evidence(width: int):
    x = features(width, 0.3).astype(np.float64)
    y = (classes() == 2).astype(np.float64)
    best = max(
        multivariate_normal(np.zeros(N), x @ x.T / alpha + np.eye(N) / beta).logpdf(y)
        for alpha in np.logspace(-1, 5, 60)
        for beta in np.logspace(-0.5, 3, 40)
    )
    both = np.stack([y, y], axis=1).astype(np.float32)
    # The grid is coarse, so it comes close from below.
    assert 0 <= score.logme(features(width, 0.3), both) - best / N < 5e-3


def test_logme_is_never_below_a_model_without_features():
    number = TARGETS["number"]
    for seed in range(5):
        found = score.logme(features(300, 0.0, seed), number)
        assert found >= score.logme(np.zeros((N, 1), np.float32), number) - 1e-6


@pytest.mark.parametrize("width", [10, 200])
def test_h_score_is_the_trace_of_its_definition(width: int):
    x, y = features(width).astype(np.float64), classes()
    fitted = LedoitWolf().fit(x)
    means = np.stack([x[y == c].mean(axis=0) for c in range(4)])[y] - x.mean(axis=0)
    between = means.T @ means / N
    inverse = np.linalg.inv(fitted.covariance_)
    wanted = np.trace(inverse @ between) * (1 - fitted.shrinkage_)
    assert score.h_score(features(width), y) == pytest.approx(wanted, rel=1e-6)


def test_nearest_mean_leaves_the_row_out():
    x, y = features(40, 0.3), classes()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    right = 0
    for i in range(N):
        rest = np.arange(N) != i
        means = np.stack([unit[rest & (y == c)].mean(axis=0) for c in range(4)])
        cosine = means @ unit[i] / np.linalg.norm(means, axis=1)
        right += cosine.argmax() == y[i]
    assert score.nearest_mean(x, y) == pytest.approx(right / N)


def test_a_class_of_one_row_is_never_right():
    y = classes()
    y[0] = 4
    x = features(8, 3.0)
    x[0] = 50.0
    assert score.nearest_mean(x, y) <= 1 - 1 / N
    assert score.knn(x, y) <= 1 - 1 / N


def test_knn_leaves_the_row_out():
    x, y = features(40, 0.3), classes()
    right = 0
    for i in range(N):
        rest = np.arange(N) != i
        near = KNeighborsClassifier(5, metric="cosine", weights=lambda d: 3 - d)
        right += near.fit(x[rest], y[rest]).predict(x[i : i + 1])[0] == y[i]
    assert score.knn(x, y) == pytest.approx(right / N)


@pytest.mark.parametrize("width", [20, 200])
def test_ridge_probe_is_cross_validation_done_at_length(width: int):
    x, y = features(width, 0.3).astype(np.float64), classes()
    marks = np.eye(4)[y]
    centred = x - x.mean(axis=0)
    place = score._fold_of(y)
    assert sorted(np.bincount(place)) == [N // 5] * 5
    lowest, accuracy = np.inf, 0.0
    for share in score.PENALTIES:
        found = np.zeros_like(marks)
        for fold in range(5):
            train = place != fold
            model = Ridge(alpha=share * (centred**2).sum() / N).fit(x[train], marks[train])
            found[~train] = model.predict(x[~train])
        error = ((found - marks) ** 2).sum()
        if error < lowest:
            lowest, accuracy = error, (found.argmax(axis=1) == y).mean()
    assert score.ridge_probe(features(width, 0.3), y) == pytest.approx(accuracy)


def test_rows_that_only_repeat_noise_are_near_chance():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(400, 300)).astype(np.float32), rng.integers(0, 2, 400)
    for name in ("nearest_mean", "knn", "ridge_probe"):
        assert 0.4 < SCORES[name](x, y) < 0.6
