"""Coverage against what was asked, and what chance allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom

from metier.evidence.uncertainty.coverage import (
    _band,
    coverage_finding,
    coverages,
    measure_coverage,
)
from metier.runtime.conformal import learn
from metier.runtime.postprocess import Decision

RULE = Decision("multiclass", ("a", "b", "c"))


def drawn(n: int, seed: int, shift: float = 0.0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    y = random.choice(3, n, p=(0.6, 0.35, 0.05))
    return random.normal(size=(n, 3)) + (1.5 - shift) * np.eye(3)[y], y


def test_the_band_is_that_of_the_beta_binomial() -> None:
    low, high = _band([(99, 400)], 0.9, 0)
    exact = betabinom(400, 90, 10).ppf([0.025, 0.975]) / 400
    assert (low, high) == pytest.approx(tuple(exact), abs=0.006)


def test_coverage_lies_in_its_band_as_often_as_it_should() -> None:
    inside = 0
    for turn in range(40):
        known = learn(*drawn(500, turn), RULE)
        scores, y = drawn(400, 500 + turn)
        luck = np.random.default_rng(turn).random(400)
        inside += measure_coverage(known, scores, y, RULE, luck, 0.9, seed=turn).as_expected
    assert inside >= 34


def test_by_label_and_the_sizes_of_sets() -> None:
    known = learn(*drawn(1000, 0), RULE)
    scores, y = drawn(2000, 1)
    found = measure_coverage(known, scores, y, RULE, np.full(2000, 0.5), 0.9)
    assert [label.label for label in found.labels] == ["a", "b", "c"]
    assert sum(label.n for label in found.labels) == found.n == 2000
    weighed = sum(label.covered * label.n for label in found.labels) / 2000
    assert weighed == pytest.approx(found.covered)
    assert found.low < found.covered < found.high and 1 < found.size < 3
    assert 0 < found.singles < 1
    told = coverage_finding(found, "multiclass")
    assert told.level == "info" and told.value == found.covered and "90.0 %" in told.verdict


def test_rows_of_another_kind_fall_short_and_it_is_said() -> None:
    known = learn(*drawn(1000, 0), RULE)
    scores, y = drawn(1000, 1, shift=1.5)
    found = measure_coverage(known, scores, y, RULE, np.full(1000, 0.5), 0.9)
    told = coverage_finding(found, "multiclass")
    assert not found.as_expected and told.level == "warning"
    assert "not like those of calibration" in told.verdict
    scores, y = drawn(1000, 1, shift=-3)
    easy = measure_coverage(known, scores, y, RULE, np.full(1000, 0.5), 0.9)
    assert "or were learned from" in coverage_finding(easy, "multiclass").verdict


def test_intervals_of_numbers() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(900, 1))
    y = scores[:, 0] + random.normal(size=900)
    rule = Decision("regression")
    known = learn(scores[:500], y[:500], rule)
    found = measure_coverage(known, scores[500:], y[500:], rule, np.zeros(400), 0.9)
    assert found.as_expected and found.size == pytest.approx(2 * known.reach(0.9))
    assert "wide" in coverage_finding(found, "regression").verdict


def test_several_labels_have_an_interval_over_rows() -> None:
    random = np.random.default_rng(0)
    y = (random.random((800, 2)) < 0.4).astype(np.float32)
    scores = random.normal(size=(800, 2)) + 2 * y - 1
    rule = Decision("multilabel", ("a", "b"))
    known = learn(scores[:400], y[:400], rule)
    found = measure_coverage(known, scores[400:], y[400:], rule, random.random(400), 0.9)
    assert found.low < found.covered < found.high and len(found.labels) == 2


def test_only_coverages_that_can_be_promised_are_looked_at() -> None:
    assert coverages(learn(*drawn(30, 0), RULE, 0.85)) == (0.8, 0.85, 0.9, 0.95)
