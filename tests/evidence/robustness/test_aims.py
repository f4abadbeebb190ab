"""What is wrong and what is harmful agree, whatever the thresholds."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from metier.evidence.robustness.aims import Aim, cuts
from metier.runtime.postprocess import Decision


@pytest.mark.parametrize("thresholds", [(), (0.2, 0.7, 0.5)])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_labels_are_harmed_where_they_are_wrong(
    thresholds: tuple[float, ...], temperature: float
) -> None:
    random = np.random.default_rng(0)
    scores = 4 * random.normal(size=(300, 3))
    decision = Decision("multilabel", ("a", "b", "c"), temperature, thresholds)
    aim = Aim(random.integers(0, 2, (300, 3)), decision)
    wrong, harm = aim.wrong(scores), aim.harm(scores)
    assert 0.2 < wrong.mean() < 0.98
    assert (harm[wrong] > 0).all() and (harm[~wrong] <= log(3)).all()


def test_a_label_that_nothing_moves_hides_none_that_moves() -> None:
    decision = Decision("multilabel", ("a", "b"), thresholds=(0.2, 0.5))
    aim = Aim(np.tile([1, 0], (4, 1)), decision)
    scores = np.stack([np.full(4, -0.5), np.array([-4.0, -3.0, -2.0, 0.1])], axis=1)
    assert aim.wrong(scores).tolist() == [False, False, False, True]
    assert (np.diff(aim.harm(scores)) > 0).all()


def test_a_label_that_is_always_given_has_a_cut_all_the_same() -> None:
    found = cuts(Decision("multilabel", ("a", "b"), thresholds=(0.0, 1.0)))
    assert np.isfinite(found).all() and found[0] < -20 and found[1] > 20
