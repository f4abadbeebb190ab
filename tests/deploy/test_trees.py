from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.deploy.trees import Part, read_forest, round_down, trees_graph
from metier.errors import SourceError

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True}


def run(graph: onnx.ModelProto, numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"numbers": numbers})[0])


def awkward_numbers(rng: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    """Gaps in column 0, codes in 1 and 3 (-1 unseen), no gaps in 2."""
    numbers = rng.normal(size=(n, 4)).astype(np.float32)
    numbers[:, 1] = rng.integers(-1, 70, n)
    numbers[:, 3] = rng.integers(0, 3, n)
    numbers[rng.random(n) < 0.1, 0] = np.nan
    return numbers


def train(objective: str, rounds: int, **settings: Any) -> lightgbm.Booster:
    rng = np.random.default_rng(0)
    numbers = awkward_numbers(rng, 700)
    signal = np.nan_to_num(numbers[:, 0]) + 2.0 * np.isin(numbers[:, 1], [3, 7, 33, 64])
    targets = {
        "binary": signal > 0.5,
        "multiclass": np.digitize(signal, [0.0, 1.0]),
        "regression": 10 * signal + numbers[:, 2],
    }[objective]
    sets = {"max_cat_to_onehot": 1, "min_data_per_group": 5, "cat_smooth": 1.0}
    if objective == "multiclass":
        sets["num_class"] = 3
    data = lightgbm.Dataset(numbers, targets.astype(float), categorical_feature=[1, 3])
    return lightgbm.train({"objective": objective, **QUIET, **sets, **settings}, data, rounds)


def raw(booster: lightgbm.Booster, numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = booster.predict(numbers, raw_score=True, num_threads=1)
    return np.asarray(found).reshape(len(numbers), -1)


@pytest.mark.parametrize(
    ("objective", "rounds"), [("binary", 40), ("multiclass", 20), ("regression", 80)]
)
def test_graph_says_what_the_booster_says(objective: str, rounds: int) -> None:
    booster = train(objective, rounds)
    rng = np.random.default_rng(1)
    numbers = awkward_numbers(rng, 3000)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan  # gaps where training had none
    numbers[:10, 1] = 5000.0  # a code beyond every bit set
    forest = read_forest(booster.model_to_string())
    assert any(tree.members for tree in forest.trees)
    expected = raw(booster, numbers)
    found = run(trees_graph([Part(forest)], 4, forest.outputs), numbers)
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_no_row_changes_sides_next_to_a_threshold() -> None:
    booster = train("regression", 60)
    forest = read_forest(booster.model_to_string())
    rows = []
    for tree in forest.trees:
        for feature, threshold, decision in zip(
            tree.feature, tree.threshold, tree.decision, strict=True
        ):
            if decision & 1:
                continue
            near = np.float32(threshold)
            for value in (
                np.nextafter(near, np.float32(-np.inf)),
                near,
                np.nextafter(near, np.float32(np.inf)),
            ):
                row = np.array([0.3, 7.0, -0.2, 1.0], dtype=np.float32)
                row[feature] = value
                rows.append(row)
    numbers = np.stack(rows)
    assert len(numbers) > 500
    found = run(trees_graph([Part(forest)], 4, 1), numbers)
    # A row on the wrong side would be off by the difference of two leaves.
    np.testing.assert_allclose(found, raw(booster, numbers), atol=2e-5)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_a_rounded_threshold_splits_float32_as_the_double_does(
    threshold: float, value: float
) -> None:
    rounded = round_down(np.array([threshold]))[0]
    assert (np.float32(value) <= rounded) == (value <= threshold)


def test_neighbours_of_a_rounded_threshold() -> None:
    thresholds = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-5, 5).repeat(100)
    rounded = round_down(thresholds)
    assert (rounded.astype(np.float64) <= thresholds).all()
    above = np.nextafter(rounded, np.float32(np.inf)).astype(np.float64)
    assert (above > thresholds).all()


def test_forests_are_weighted_and_laid_side_by_side() -> None:
    one, two = train("binary", 5), train("regression", 5)
    numbers = awkward_numbers(np.random.default_rng(2), 50)
    parts = [
        Part(read_forest(one.model_to_string()), 0.5, 1),
        Part(read_forest(two.model_to_string()), 2.0, 0),
    ]
    found = run(trees_graph(parts, 4, 2, (100.0, 0.0)), numbers)
    np.testing.assert_allclose(found[:, 0], 100 + 2 * raw(two, numbers)[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], 0.5 * raw(one, numbers)[:, 0], atol=1e-6)


def test_trees_without_a_split_are_a_constant() -> None:
    numbers = np.ones((40, 4), dtype=np.float32)
    data = lightgbm.Dataset(numbers, np.arange(40.0))
    booster = lightgbm.train({"objective": "regression", **QUIET}, data, 3)
    found = run(trees_graph([Part(read_forest(booster.model_to_string()))], 4, 1), numbers)
    np.testing.assert_allclose(found, raw(booster, numbers), rtol=1e-6)


def test_what_onnx_cannot_say_is_refused() -> None:
    with pytest.raises(SourceError, match="zero_as_missing=false"):
        read_forest(train("regression", 3, zero_as_missing=True).model_to_string())
    with pytest.raises(SourceError, match="linear_tree=false"):
        read_forest(train("regression", 3, linear_tree=True).model_to_string())
    with pytest.raises(SourceError, match="not a LightGBM model"):
        read_forest("a shopping list")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("left_child", "0 1 2"),
        ("left_child", "7 1 2"),
        ("right_child", "-9 -3 -4"),
        ("split_feature", "4 0 0"),
        ("split_feature", "-1 0 0"),
        ("split_feature", "0 0"),
        ("threshold", "0.1 0.2"),
        ("decision_type", "1 2 2"),
        ("decision_type", "258 2 2"),
        ("leaf_value", "1 2 3"),
        ("num_leaves", "1_4"),
        ("num_leaves", "40"),
        ("num_cat", "2"),
        ("leaf_weight", "1 2 3"),
        ("leaf_count", "1 2 3 4=5"),
        ("split_gain", "1 2 na.3"),
        ("internal_value", "1 2"),
        ("shrinkage", "0.1 0.1"),
        ("shrinkage", "=0.1"),
        ("left_child", "1\t2\t-1"),
        ("left_child", "1 x 2"),
    ],
)
def test_a_tree_that_leads_beyond_itself_is_refused(name: str, words: str) -> None:
    def lines(**changed: str) -> str:
        told = {
            "num_leaves": "4",
            "num_cat": "0",
            "split_feature": "0 0 0",
            "threshold": "0.1 0.2 0.3",
            "decision_type": "2 2 2",
            "left_child": "1 2 -1",
            "right_child": "-2 -3 -4",
            "leaf_value": "1 2 3 4",
        } | changed
        tree = "Tree=0\n" + "".join(f"{key}={value}\n" for key, value in told.items()) + "\n\n"
        head = "tree\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=3\n"
        return f"{head}tree_sizes={len(tree)}\n\n{tree}end of trees\n"

    assert read_forest(lines()).size == 7
    with pytest.raises(SourceError, match="damaged"):
        read_forest(lines(**{name: words}))


@pytest.mark.parametrize("words", ["0 9", "1 3", "0 2 1", "0"])
def test_sets_of_codes_that_reach_beyond_their_tree_are_refused(words: str) -> None:
    text = train("binary", 1).model_to_string()
    assert read_forest(text).trees[0].members
    told = next(line for line in text.split("\n") if line.startswith("cat_boundaries="))
    changed = told.partition("=")[0] + "=" + words
    sizes = next(line for line in text.split("\n") if line.startswith("tree_sizes="))
    size = int(sizes.partition("=")[2]) + len(changed) - len(told)
    with pytest.raises(SourceError, match="damaged"):
        read_forest(text.replace(told, changed).replace(sizes, f"tree_sizes={size}"))


def test_more_trees_an_iteration_than_classes_are_refused() -> None:
    text = train("multiclass", 2).model_to_string()
    with pytest.raises(SourceError, match="as many trees an iteration as classes"):
        read_forest(text.replace("num_class=3", "num_class=2", 1))
