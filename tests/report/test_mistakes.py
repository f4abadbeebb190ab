"""The worst mistakes, and how sure each answer was."""

from __future__ import annotations

import numpy as np

from metier.report.mistakes import worst
from metier.runtime.postprocess import Decision

CHANCES = np.array([0.3, 0.25, 0.9, 0.1])
SCORES = np.log(np.stack([1 - CHANCES, CHANCES], axis=1))


def test_the_probability_told_is_that_of_the_answer_given() -> None:
    rule = Decision("binary", ("no", "yes"), thresholds=(0.2,))
    places, sure = worst(SCORES, np.array([0, 0, 0, 1]), rule)
    assert places.tolist() == [2, 3, 0, 1]
    assert sure is not None
    np.testing.assert_allclose(sure, [0.9, 0.9, 0.3, 0.25])


def test_several_labels_come_by_the_surest_wrong_one_and_numbers_by_their_error() -> None:
    odds = np.array([[2.0, 0.1], [-3.0, -1.0], [1.0, -1.0]])
    labels = Decision("multilabel", ("a", "b"))
    places, sure = worst(odds, np.array([[0, 0], [1, 0], [1, 0]]), labels)
    assert places.tolist() == [1, 0] and sure is None
    places, sure = worst(odds[:, :1], np.zeros(3), Decision("regression"))
    assert places.tolist() == [1, 0, 2] and sure is None
