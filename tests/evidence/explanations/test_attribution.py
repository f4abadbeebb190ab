"""Shares that are known in advance, and what other libraries make of the same game."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.explanations.attribution import (
    Attribution,
    Lime,
    Occlusion,
    Shap,
    draw_masks,
    fit_ridge,
    kernel,
)

from .rules import game, tangled, weighed

EXPLAINERS = (Shap(64), Shap(16), Lime(600), Occlusion())


@pytest.mark.parametrize("explain", EXPLAINERS)
def test_a_sum_is_shared_out_as_it_is_added(explain: Shap | Lime | Occlusion) -> None:
    found = explain(game("abcde", weighed(a=2.0, b=-1.0, d=0.5)))
    scale = 0.1 if isinstance(explain, Lime) else 1e-6  # a ridge shrinks
    np.testing.assert_allclose(found.values, [2.0, -1.0, 0.0, 0.5, 0.0], atol=scale)
    assert (found.base, found.output) == (0.0, 1.5)
    assert found.holds


def test_the_shapley_values_of_a_tangled_game_are_those_of_its_definition() -> None:
    # A pair is halved, a three is divided by three.
    known = [2.0 + 1.5, -1.0 - 0.5, 1.5 - 0.5, -0.5]
    found = Shap(16)(game("abcd", tangled))
    np.testing.assert_allclose(found.values, known, atol=1e-12)


def test_sampled_shapley_values_sum_to_the_answer_and_come_near_to_the_exact_ones() -> None:
    exact, few, many = (Shap(n)(game("abcd", tangled)).values for n in (16, 8, 15))
    assert abs(few.sum() - exact.sum()) < 1e-12
    wide = game("abcdefghij", tangled)
    exact = Shap(1024)(wide).values
    errors = [np.abs(Shap(n)(wide).values - exact).max() for n in (20, 1000)]
    assert errors[1] < 0.1 and errors[1] <= errors[0]
    assert many.shape == (4,)


def test_the_same_seed_gives_the_same_shares_and_another_seed_others() -> None:
    wide = game("abcdefghij", tangled)
    for explain in (Shap(40), Lime(40)):
        one, same, other = (explain(wide, seed).values for seed in (1, 1, 2))
        assert (one == same).all() and (one != other).any()


def test_shap_says_the_same_of_a_game() -> None:
    shap = pytest.importorskip("shap")
    played = game("abcdef", tangled)
    theirs = shap.KernelExplainer(lambda z: played.margins(z > 0.5), np.zeros((1, 6)))
    values = theirs.shap_values(np.ones((1, 6)), silent=True, l1_reg=False)[0]
    np.testing.assert_allclose(Shap(64)(played).values, values, atol=1e-6)


def test_lime_says_the_same_of_the_same_coalitions() -> None:
    base = pytest.importorskip("lime.lime_base")
    played = game("abcdef", tangled)
    masks = draw_masks(6, 50, 0)
    values = played.margins(masks)
    theirs = base.LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)))
    distances = 1.0 - np.sqrt(masks.mean(axis=1))
    _, found, _, _ = theirs.explain_instance_with_data(
        masks.astype(float), values[:, None], distances, 0, 6, feature_selection="none"
    )
    known = dict(found)
    ours = fit_ridge(masks, values, kernel(masks, 0.25), 1.0)
    np.testing.assert_allclose(ours, [known[i] for i in range(6)], atol=1e-9)


def test_shares_that_miss_their_sum_are_found_out() -> None:
    wrong = Attribution(np.array([1.0, 1.0]), 0.0, 3.0, tolerance=1e-3)
    assert wrong.error == 1.0 and not wrong.holds
    assert Attribution(np.array([1.0, 1.0]), 0.0, 3.0).holds, "nothing was promised"


def test_the_first_coalition_is_everybody_and_all_sizes_occur() -> None:
    masks = draw_masks(7, 300, 0)
    assert masks[0].all() and {*masks.sum(axis=1).tolist()} == set(range(8))
