"""Answering only when sure enough."""

from __future__ import annotations

import numpy as np
import pytest

from metier.errors import OptionError
from metier.runtime.postprocess import Decision
from metier.runtime.selective import Selective, Step, confidence

STEPS = (Step(0.99, 0.2, 0.0, 0.02), Step(0.9, 0.5, 0.03, 0.05), Step(0.5, 1.0, 0.04, 0.049))
KNOWN = Selective(STEPS, 500)


def test_the_last_step_before_one_that_fails() -> None:
    assert KNOWN.least(0.03).confidence == 0.99
    assert KNOWN.least(0.05).confidence == 0.5
    assert KNOWN.least(0.0495).confidence == 0.99, "a later step that would do is not reached"


@pytest.mark.parametrize(("error", "told"), [(0.01, "500 calibration rows"), (1.0, "no share")])
def test_what_cannot_be_kept_is_refused(error: float, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        KNOWN.least(error)


def test_json_there_and_back() -> None:
    assert Selective.from_json(KNOWN.to_json()) == KNOWN


def test_confidence_is_that_of_the_answer_given() -> None:
    rule = Decision("binary", ("no", "yes"), thresholds=(0.2,))
    scores = np.log(np.array([[0.7, 0.3], [0.9, 0.1]]))
    np.testing.assert_allclose(confidence(scores, rule), [0.3, 0.9])
    several = Decision("multilabel", ("a", "b"))
    odds = np.log(np.array([[0.9, 0.4]]) / np.array([[0.1, 0.6]]))
    np.testing.assert_allclose(confidence(odds, several), [0.6])
