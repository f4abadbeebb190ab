"""Heads against scikit-learn, and on targets that leave something out."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from metier.errors import Pruned
from metier.training import heads
from metier.training.heads import Head, bound_folds, fit_head
from metier.types import Roles, Table

RANDOM = np.random.default_rng(0)
FEATURES = (RANDOM.normal(size=(300, 8)) * 3 + 5).astype(np.float32)
DIRECTION = RANDOM.normal(size=(8, 3))
LOGITS = (FEATURES - 5) @ DIRECTION + RANDOM.normal(size=(300, 3))
THREE = LOGITS.argmax(1)
TWO = (LOGITS[:, 0] > 0).astype(np.int64)
LABELS = (LOGITS > 1).astype(np.float32)
VALUE = (1e6 + 1e4 * LOGITS[:, 0]).astype(np.float32)


def scores(head: Head, features: np.ndarray[Any, Any] = FEATURES) -> np.ndarray[Any, Any]:
    return np.asarray(features @ head.weight.T + head.bias)


def scaled() -> np.ndarray[Any, Any]:
    """Features as the head sees them: centred, and divided by one common number."""
    centred = FEATURES - FEATURES.mean(0)
    return np.asarray(centred / np.sqrt((centred**2).mean()))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("targets", [TWO, THREE], ids=["binary", "multiclass"])
def test_logistic_regression_is_scikit_learns(targets: Any, balanced: bool) -> None:
    kind: Any = "binary" if targets is TWO else "multiclass"
    outputs = targets.max() + 1
    head = fit_head(FEATURES, targets, kind, outputs, balanced=balanced, strength=2.0)
    weights = "balanced" if balanced else None
    known = LogisticRegression(
        C=2.0 / np.sqrt(300), class_weight=weights, tol=1e-6, max_iter=2000
    ).fit(scaled(), targets)
    wanted = known.predict_log_proba(scaled())
    found = scores(head)
    found = found - np.logaddexp.reduce(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=0.02)
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.99


def test_ridge_is_scikit_learns_in_the_targets_own_unit() -> None:
    head = fit_head(FEATURES, VALUE, "regression", 1, strength=0.1)
    known = Ridge(alpha=10.0).fit(scaled(), VALUE.astype(np.float64)).predict(scaled())
    np.testing.assert_allclose(scores(head)[:, 0], known, atol=1e-3 * np.ptp(VALUE))
    chosen = fit_head(FEATURES, VALUE, "regression", 1)
    assert np.corrcoef(scores(chosen)[:, 0], VALUE)[0, 1] > 0.9


def test_the_rows_of_a_binary_head_are_opposite() -> None:
    head = fit_head(FEATURES, TWO, "binary", 2)
    np.testing.assert_allclose(head.weight[0], -head.weight[1], rtol=1e-6)
    np.testing.assert_allclose(head.bias[0], -head.bias[1], rtol=1e-5)


def test_scale_and_place_of_the_features_do_not_matter() -> None:
    one = fit_head(FEATURES, THREE, "multiclass", 3)
    moved = (FEATURES * 100 - 7).astype(np.float32)
    two = fit_head(moved, THREE, "multiclass", 3)
    assert one.strength == two.strength
    np.testing.assert_allclose(scores(one), scores(two, moved), atol=0.02)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_class_without_rows_is_never_answered(missing: int) -> None:
    rows = missing != THREE
    head = fit_head(FEATURES[rows], THREE[rows], "multiclass", 3)
    found = scores(head)
    assert found.shape == (300, 3) and np.isfinite(found).all()
    assert (found.argmax(1) != missing).all()
    assert (found.argmax(1)[rows] == THREE[rows]).mean() > 0.8


def test_several_classes_without_rows() -> None:
    head = fit_head(FEATURES, THREE + 2, "multiclass", 7)
    assert set(scores(head).argmax(1)) == {2, 3, 4}


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_a_single_class_is_always_answered(kind: Any) -> None:
    head = fit_head(FEATURES, np.ones(300, np.int64), kind, 2 if kind == "binary" else 3)
    assert (scores(head).argmax(1) == 1).all()


def test_a_class_with_one_row() -> None:
    targets = THREE.copy()
    targets[targets == 2] = 0
    targets[17] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = fit_head(FEATURES, targets, "multiclass", 3)
    assert np.isfinite(scores(head)).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_very_few_rows(n: int) -> None:
    targets = np.arange(n) % 2
    head = fit_head(FEATURES[:n], targets, "binary", 2)
    assert (scores(head)[:n].argmax(1) == targets).all()


def test_each_label_has_its_own_regression() -> None:
    head = fit_head(FEATURES, LABELS, "multilabel", 3, strength=3.0)
    for j in range(3):
        known = LogisticRegression(C=3.0 / np.sqrt(300), tol=1e-6).fit(scaled(), LABELS[:, j])
        np.testing.assert_allclose(scores(head)[:, j], known.decision_function(scaled()), atol=0.05)


def test_a_label_on_all_rows_or_on_none() -> None:
    labels = LABELS.copy()
    labels[:, 0], labels[:, 1] = 1.0, 0.0
    found = scores(fit_head(FEATURES, labels, "multilabel", 3))
    assert (found[:, 0] > 5).all() and (found[:, 1] < -5).all()
    assert ((found[:, 2] > 0) == (labels[:, 2] > 0)).mean() > 0.8


def test_balanced_answers_the_rare_class_more_often() -> None:
    rare = (LOGITS[:, 0] + RANDOM.normal(size=300) * 6 > 14).astype(np.int64)
    assert 0.01 < rare.mean() < 0.2
    plain, balanced = (
        scores(fit_head(FEATURES, rare, "binary", 2, balanced=balanced)).argmax(1).mean()
        for balanced in (False, True)
    )
    assert balanced > plain


def test_the_strength_is_chosen_by_the_rows_left_out() -> None:
    noise = RANDOM.normal(size=(120, 60)).astype(np.float32)
    labels = RANDOM.integers(0, 2, 120)
    assert fit_head(noise, labels, "binary", 2).strength <= 0.1, "nothing can be learned"
    assert fit_head(FEATURES, THREE, "multiclass", 3).strength > 0.1
    fixed = fit_head(FEATURES, THREE, "multiclass", 3, strength=0.3)
    assert fixed.strength == 0.3


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_the_strength_is_chosen_by_groups_left_out(kind: Any) -> None:
    """Rows of a group know each other's answer, and those of other groups know nothing of it."""
    random = np.random.default_rng(3)
    features = np.repeat(random.normal(size=(40, 30)), 8, axis=0).astype(np.float32)
    features += (0.1 * random.normal(size=features.shape)).astype(np.float32)
    flags = np.repeat(random.integers(0, 2, (40, 2)), 8, axis=0)
    targets: Any = {
        "binary": flags[:, 0],
        "multilabel": flags.astype(np.float32),
        "regression": flags[:, 0] + random.normal(size=320).astype(np.float32) * 0.01,
    }[kind]
    outputs = 1 if kind == "regression" else 2
    frame = pl.DataFrame({"group": np.arange(320) // 8})
    folds = bound_folds(Table(frame, Roles({}, group="group")), targets, 0)
    assert folds is not None and len(folds) == 5
    known = fit_head(features, targets, kind, outputs).strength
    unknown = fit_head(features, targets, kind, outputs, folds=folds).strength
    assert unknown < 0.01 * known
    weights = np.ones(320)
    again = fit_head(features, targets, kind, outputs, folds=folds, weights=weights)
    assert again.strength == unknown


def test_rows_are_left_out_as_they_are_bound() -> None:
    n = 40
    frame = pl.DataFrame({"group": np.arange(n) // 4, "when": np.arange(n), "one": ["a"] * n})
    targets = np.arange(n) % 2
    assert bound_folds(Table(frame, Roles({})), targets, 0) is None
    assert bound_folds(Table(frame, Roles({}, group="one")), targets, 0) is None
    timed = bound_folds(Table(frame, Roles({}, time="when")), targets, 0)
    assert timed is not None and [judge.tolist() for _, judge in timed] == [list(range(32, 40))]
    grouped = bound_folds(Table(frame, Roles({}, group="group")), targets, 0)
    assert grouped is not None and len(grouped) == 5
    for fit, judge in grouped:
        assert not set((fit // 4).tolist()) & set((judge // 4).tolist())


def test_folds_with_one_class_to_learn_from_choose_nothing() -> None:
    rows = np.flatnonzero(TWO == 1), np.flatnonzero(TWO == 0)
    head = fit_head(FEATURES, TWO, "binary", 2, folds=[rows])
    assert head.strength == 1.0 and (scores(head).argmax(1) == TWO).mean() > 0.9


@pytest.mark.parametrize(
    ("kind", "targets", "outputs"),
    [("binary", TWO, 2), ("multilabel", LABELS, 3), ("regression", VALUE, 1)],
)
def test_past_the_deadline_nothing_is_begun(kind: Any, targets: Any, outputs: int) -> None:
    with pytest.raises(Pruned, match="no time"):
        fit_head(FEATURES, targets, kind, outputs, deadline=time.monotonic() - 1.0)


def test_a_short_fit_may_begin_late_and_a_long_one_may_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def choose_slowly(*_: Any) -> float:
        while time.monotonic() < deadline:
            time.sleep(0.01)
        return 1.0

    monkeypatch.setattr(heads, "_choose", choose_slowly)
    deadline = time.monotonic() + 0.1
    short = fit_head(FEATURES, THREE, "multiclass", 3, deadline=deadline)
    assert (scores(short).argmax(1) == THREE).mean() > 0.8
    monkeypatch.setattr(heads, "SHORT", FEATURES.size * 3 - 1)
    deadline = time.monotonic() + 0.1
    with pytest.raises(Pruned, match="no time"):
        fit_head(FEATURES, THREE, "multiclass", 3, deadline=deadline)


def test_a_deadline_far_away_changes_nothing() -> None:
    far = fit_head(FEATURES, THREE, "multiclass", 3, deadline=time.monotonic() + 600.0)
    assert (far.weight == fit_head(FEATURES, THREE, "multiclass", 3).weight).all()


def test_choosing_ends_in_time_for_the_last_fit() -> None:
    noise = RANDOM.normal(size=(3000, 400)).astype(np.float32)
    many = RANDOM.integers(0, 30, 3000)
    began = time.monotonic()
    fit_head(noise, many, "multiclass", 30, strength=1.0)
    deadline = time.monotonic() + 3 * (time.monotonic() - began)
    hurried = fit_head(noise, many, "multiclass", 30, deadline=deadline)
    assert hurried.strength == 1.0, "where the walk begins; with time it ends at 0.01"
    assert hurried.weight.shape == (30, 400)


def test_same_seed_same_head() -> None:
    one, two = (fit_head(FEATURES, THREE, "multiclass", 3, seed=5) for _ in range(2))
    assert (one.weight == two.weight).all() and one.strength == two.strength


def test_features_that_are_all_equal() -> None:
    head = fit_head(np.ones((20, 4), np.float32), np.arange(20) % 2, "binary", 2)
    assert np.isfinite(scores(head, np.ones((1, 4)))).all()
