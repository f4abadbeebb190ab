"""Pruned trees: LightGBM reads them, and they say what merging leaves means."""

from __future__ import annotations

import numpy as np
import pytest

from metier.deploy.pruning import read_trees, with_trees
from metier.deploy.trees import read_forest
from metier.errors import SourceError

lightgbm = pytest.importorskip("lightgbm")


def grown(classes: int = 1, trees: int = 12) -> tuple[str, np.ndarray]:
    """A booster on numbers, gaps and categories, as text, and its rows."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 5)).astype(np.float32)
    rows[:, 3] = rng.integers(0, 60, 400)
    rows[rng.random(400) < 0.1, 1] = np.nan
    signal = rows[:, 0] + (rows[:, 3] % 3 == 0) + np.nan_to_num(rows[:, 1]) * (rows[:, 2] > 0)
    targets = np.digitize(signal, [0.0, 1.0]) if classes > 1 else (signal > 0.4).astype(int)
    settings = {
        "objective": "multiclass" if classes > 1 else "binary",
        "num_class": classes,
        "num_leaves": 12,
        "min_data_in_leaf": 5,
        "min_data_per_group": 5,
        "max_cat_to_onehot": 2,
        "cat_smooth": 1,
        "verbosity": -1,
        "num_threads": 1,
    }
    data = lightgbm.Dataset(rows, targets, categorical_feature=[3])
    return lightgbm.train(settings, data, trees).model_to_string(), rows


def raw(text: str, rows: np.ndarray) -> np.ndarray:
    found = lightgbm.Booster(model_str=text).predict(rows, raw_score=True, num_threads=1)
    return np.asarray(found)


@pytest.mark.parametrize("classes", [1, 3])
def test_untouched_trees_are_written_as_they_were_read(classes: int) -> None:
    text, rows = grown(classes)
    again = with_trees(text, read_trees(text))
    assert again.split("end of trees")[0] == text.split("end of trees")[0]
    assert (raw(again, rows) == raw(text, rows)).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_fewer_trees_are_what_lightgbm_makes_of_fewer_iterations(classes: int) -> None:
    text, rows = grown(classes)
    short = with_trees(text, read_trees(text)[: 5 * classes])
    wanted = lightgbm.Booster(model_str=text).predict(
        rows, raw_score=True, num_iteration=5, num_threads=1
    )
    assert (raw(short, rows) == wanted).all()
    assert len(read_forest(short).trees) == 5 * classes


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 1.0])
def test_merged_leaves_say_their_weighted_mean(share: float) -> None:
    text, rows = grown()
    trees = read_trees(text)
    gain = float(np.quantile(np.concatenate([tree.gains for tree in trees]), share))
    pruned = [tree.without(gain) for tree in trees]
    smaller = with_trees(text, [tree for tree, _ in pruned])
    assert read_forest(smaller).size < read_forest(text).size
    booster = lightgbm.Booster(model_str=text)
    before = booster.predict(rows, pred_leaf=True, num_threads=1)
    wanted = np.zeros(len(rows))
    for column, (tree, (after, new)) in enumerate(zip(trees, pruned, strict=True)):
        assert len(new) == len(tree.values) and set(new) == set(range(len(after.values)))
        weights = np.array(tree.lines["leaf_weight"], dtype=float)
        for leaf in range(len(after.values)):
            own = new == leaf
            mean = np.average(tree.values[own], weights=weights[own])
            np.testing.assert_allclose(after.values[leaf], mean, rtol=1e-12)
        wanted += after.values[new[before[:, column]]]
    np.testing.assert_allclose(raw(smaller, rows), wanted, atol=1e-12)


def test_only_small_splits_with_nothing_big_below_go() -> None:
    text, _ = grown()
    for tree in read_trees(text):
        gain = float(np.median(tree.gains))
        smaller, _ = tree.without(gain)
        assert np.isin(smaller.gains, tree.gains).all()
        assert (
            np.sort(tree.gains[tree.gains > gain]) == np.sort(smaller.gains[smaller.gains > gain])
        ).all()
        assert len(smaller.values) == len(smaller.gains) + 1


def test_a_tree_without_any_split_is_a_constant() -> None:
    text, rows = grown(trees=2)
    stumps = [tree.without(np.inf)[0] for tree in read_trees(text)]
    smaller = with_trees(text, stumps)
    found = raw(smaller, rows)
    assert np.ptp(found) == 0 and [len(t.feature) for t in read_forest(smaller).trees] == [0, 0]
    assert stumps[0].without(np.inf)[0].lines == stumps[0].lines


def test_what_is_no_booster_is_refused() -> None:
    with pytest.raises(SourceError, match="save_model"):
        read_trees("something else")
