"""All that is measured of how sure a model is, in one value."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from metier.evidence.uncertainty.sureness import FEWEST, sureness_from_json, sureness_of
from metier.report.content import to_json
from metier.runtime import conformal
from metier.runtime.doubt import Doubt
from metier.runtime.postprocess import Decision


def drawn(kind: str, n: int, seed: int) -> tuple[Any, Any, Decision]:
    random = np.random.default_rng(seed)
    if kind == "regression":
        values = random.normal(size=n)
        truth = values + random.normal(size=n)
        return truth, values[:, None].astype(np.float32), Decision("regression")
    if kind == "multilabel":
        flags = (random.random((n, 2)) < 0.4).astype(np.float32)
        return flags, random.normal(size=(n, 2)) + flags - 0.5, Decision("multilabel", ("a", "b"))
    y = random.integers(0, 2, n)
    return y, random.normal(size=(n, 2)) + np.eye(2)[y], Decision("binary", ("a", "b"))


def measured(kind: str, n: int = 300, unlike: Any = None) -> Any:
    y, scores, rule = drawn(kind, 400, 0)
    doubt = Doubt(conformal.learn(scores, y, rule))
    y, scores, _ = drawn(kind, n, 1)
    luck = np.random.default_rng(2).random(n)
    return sureness_of(y, scores, rule, doubt, luck, unlike, alarm=0.05)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_what_is_said_of_each_kind_and_its_json(kind: str) -> None:
    found = measured(kind, unlike=np.zeros(300, bool))
    names = {finding.name for finding in found.findings}
    assert "coverage" in names and found.main is not None and found.main.asked == 0.9
    assert ("calibration_test" in names) == ("answered_at_5" in names) == (kind != "regression")
    assert "unlike" in names
    assert [each.asked for each in found.coverages] == [0.8, 0.9, 0.95, 0.99]
    for finding in found.findings:
        assert finding.n == 300 and finding.value is not None
        if finding.name != "calibration_test":
            assert finding.low is not None and finding.high is not None
            assert finding.low <= finding.value <= finding.high
    assert sureness_from_json(json.loads(json.dumps(to_json(found)))) == found


def test_without_calibration_scores_there_are_no_coverages() -> None:
    y, scores, rule = drawn("binary", 100, 0)
    found = sureness_of(y, scores, rule, Doubt(), np.zeros(100))
    assert found.coverages == () and found.main is None and found.curve is not None
    assert "coverage" not in {finding.name for finding in found.findings}


def test_a_coverage_that_so_few_rows_cannot_promise_is_a_warning() -> None:
    y, scores, rule = drawn("binary", 60, 0)
    doubt = Doubt(conformal.learn(scores[:30], y[:30], rule, 0.99))
    found = sureness_of(y[30:], scores[30:], rule, doubt, np.zeros(30))
    told = next(f for f in found.findings if f.name == "coverage_out_of_reach")
    assert told.level == "warning" and "at most 96.8 %" in told.verdict and found.main is None


def test_too_few_rows_say_so() -> None:
    found = measured("binary", FEWEST - 1)
    assert [finding.name for finding in found.findings] == ["too_few_rows"]


def test_many_unlike_rows_are_a_warning() -> None:
    found = measured("binary", unlike=np.arange(300) < 60)
    told = next(finding for finding in found.findings if finding.name == "unlike")
    assert told.level == "warning" and told.value == pytest.approx(0.2)


def test_unreadable_rows_are_left_out() -> None:
    y, scores, rule = drawn("binary", 100, 0)
    scores[:10] = np.nan
    assert sureness_of(y, scores, rule, Doubt(), np.zeros(100), np.zeros(100, bool)).n == 90
