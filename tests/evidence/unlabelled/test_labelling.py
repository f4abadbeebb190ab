"""Which rows are chosen for a label."""

from __future__ import annotations

import numpy as np
import pytest

from metier.errors import OptionError
from metier.evidence.unlabelled.labelling import check_by, choose_rows, margins

SURE, TORN = [0.98, 0.01, 0.01], [0.34, 0.33, 0.33]


def test_margins_are_of_the_two_likeliest_and_of_the_label_nearest_to_a_draw() -> None:
    assert margins(np.array([SURE, TORN]), "multiclass").round(2).tolist() == [0.97, 0.01]
    assert margins(np.array([[0.9, 0.55], [0.1, 0.95]]), "multilabel").round(2).tolist() == [
        0.1,
        0.8,
    ]


def test_the_least_sure_come_first_by_margin() -> None:
    chances = np.array([SURE, TORN, [0.6, 0.3, 0.1], SURE])
    found = choose_rows(chances, None, "multiclass", 2, by="margin")
    assert found.tolist() == [1, 2]


def test_rows_are_unsure_and_unlike_each_other() -> None:
    """Three clumps; in two of them the model is torn. One row of each of these, and no twin."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3) * 5, 20, axis=0)
    features = centres + 0.01 * rng.normal(size=centres.shape)
    chances = np.array([TORN] * 40 + [SURE] * 20)
    for seed in range(5):
        found = choose_rows(chances, features, "multiclass", 2, seed=seed)
        assert sorted(int(row) // 20 for row in found) == [0, 1]


def test_equal_rows_are_not_chosen_twice_while_others_are_left() -> None:
    features = np.array([[0.0, 1.0]] * 9 + [[1.0, 0.0]])
    found = choose_rows(None, features, "regression", 2)
    assert 9 in found and len(set(found.tolist())) == 2
    assert sorted(choose_rows(None, features, "regression", 50).tolist()) == list(range(10))


def test_the_same_seed_chooses_the_same_rows() -> None:
    rng = np.random.default_rng(0)
    features, chances = rng.normal(size=(60, 4)), rng.dirichlet(np.ones(3), 60)
    first, again, other = (
        choose_rows(chances, features, "multiclass", 9, seed=seed).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'margin'"):
        check_by("margins")
