"""Text that LightGBM would read beyond is refused before LightGBM sees it."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from metier.deploy.boostertext import sections
from metier.errors import SourceError
from tests.deploy.test_trees import train


@pytest.fixture(scope="module")
def text() -> str:
    found: str = train("binary", 6).model_to_string()
    return found


def test_a_whole_text_is_taken_apart(text: str) -> None:
    settings, trees = sections(text)
    assert settings["objective"].startswith("binary")
    assert len(trees) == lightgbm.Booster(model_str=text).num_trees() == 6
    assert all(int(tree["num_leaves"]) > 1 for tree in trees)


def test_names_of_columns_may_be_longer_than_their_letters() -> None:
    data = lightgbm.Dataset(np.arange(80.0)[:, None], np.arange(80.0), feature_name=["größe"])
    booster = lightgbm.train({"objective": "regression", "verbosity": -1}, data, 3)
    settings, trees = sections(booster.model_to_string())
    assert settings["feature_names"] == "größe" and len(trees) == 3


def test_a_text_that_was_cut_anywhere_in_its_trees_is_refused(text: str) -> None:
    ends = text.index("end of trees")
    for length in range(text.index("Tree=0"), ends, 97):
        with pytest.raises(SourceError, match=r"damaged|text form"):
            sections(text[:length])
    for length in range(0, text.index("tree_sizes"), 41):
        with pytest.raises(SourceError, match=r"damaged|text form"):
            sections(text[:length] + text[ends:])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tree_sizes=", "tree_sizes=9"),
        ("tree_sizes=", "tree_sizes=-"),
        ("tree_sizes=", "no_sizes="),
        ("Tree=3", "Tree=\0"),
        ("Tree=3", "Tree3"),
        ("num_cat=", "num_cat:"),
        ("num_cat=", "num_leaves=2\nnum_cat="),
        ("\n\n\nTree=2", "\n-\n\nTree=2"),
        ("end of trees", "end of tree"),
    ],
)
def test_a_text_that_is_not_what_it_says_is_refused(text: str, old: str, new: str) -> None:
    assert old in text
    with pytest.raises(SourceError, match="damaged"):
        sections(text.replace(old, new, 1))
