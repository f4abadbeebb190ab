"""An explanation that is right beats chance, a wrong one does not, and both are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.explanations.attribution import Attribution, Occlusion, Shap
from metier.evidence.explanations.faithful import (
    GRID,
    chance_curves,
    curves_of,
    faithfulness,
    gain_of,
    mean_of,
    ranking,
    stability,
)

from .rules import game, tangled, weighed

RULE = weighed(a=3.0, b=1.0, c=-2.0, d=0.2)
LETTERS = "abcdefgh"


def test_the_curves_begin_and_end_with_everybody_and_nobody() -> None:
    played = game(LETTERS, RULE)
    (found,) = curves_of(played, [np.arange(8)])
    assert found.deletion[[0, -1]].tolist() == pytest.approx([2.2, 0.0])
    assert found.insertion[[0, -1]].tolist() == pytest.approx([0.0, 2.2])
    # With a in first place, the answer falls by 3 when one of eight is gone.
    assert np.interp(1 / 8, GRID, found.deletion) == pytest.approx(-0.8, abs=0.4)


def test_a_right_explanation_beats_chance_and_the_opposite_loses() -> None:
    games = [game(LETTERS, RULE, row) for row in range(12)]
    chance = [chance_curves(each, 0) for each in games]
    right = [Occlusion()(each) for each in games]
    for sign, name in ((1, "right"), (-1, "wrong")):
        orders = [ranking(Attribution(sign * each.values, 0, 0)) for each in right]
        curves = [curves_of(each, [order])[0] for each, order in zip(games, orders, strict=True)]
        found = faithfulness(name, curves, chance)
        assert found.gain.n == 12 and found.gain.low <= found.gain.value <= found.gain.high
        assert (found.gain.low > 0.2) if sign > 0 else (found.gain.high < -0.2)
        parts = found.deletion.value, found.insertion.value
        assert found.gain.value == pytest.approx(sum(parts) / 2)


def test_chance_gains_nothing_over_chance() -> None:
    games = [game(LETTERS, RULE, row) for row in range(60)]
    rng = np.random.default_rng(7)
    gains = [
        gain_of(curves_of(each, [rng.permutation(8)])[0], chance_curves(each, 0)) for each in games
    ]
    found = mean_of(gains)
    assert found.low < 0 < found.high and found.p > 0.01


def test_means_have_intervals_that_hold_them_and_one_row_has_none() -> None:
    found = mean_of(np.random.default_rng(0).normal(1.0, 1.0, 50))
    assert found.low < found.value < found.high and found.n == 50 and found.p < 0.001
    assert np.isnan(mean_of([1.0]).low) and mean_of([1.0]).value == 1.0
    assert np.isnan(mean_of([]).value)


def test_what_leaves_nothing_to_chance_is_stable_and_what_does_is_compared() -> None:
    games = [game("abcdefghijkl", tangled, row) for row in range(4)]
    same = [(Occlusion()(each, 0), Occlusion()(each, 1)) for each in games]
    found = stability(same, drawn=False)
    assert found.ranks.value == 1.0 and found.top.value == 1.0 and not found.drawn
    drawn = stability([(Shap(24)(g, 0), Shap(24)(g, 1)) for g in games], drawn=True)
    assert 0.3 < drawn.ranks.value <= 1.0 and drawn.drawn
    nothing = Attribution(np.zeros(4), 0, 0)
    assert stability([(nothing, nothing)], drawn=True).ranks.value == 1.0
