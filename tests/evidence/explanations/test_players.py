"""Words, regions and columns that can be there or not, and what the model is then shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metier.evidence.explanations.players import (
    MOST_WORDS,
    Cell,
    Game,
    Picture,
    Target,
    Text,
    parts_of,
)
from metier.runtime.postprocess import Decision


def masks(*rows: str) -> Any:
    return np.array([[each == "1" for each in row] for row in rows])


def test_words_are_dropped_without_a_gap() -> None:
    part = Text("text", "  My  invoice, is wrong!")
    assert [player.name for player in part.players] == ["My", "invoice,", "is", "wrong!"]
    found = part.cells(masks("1111", "0101", "0000"), 0)
    assert found == ["My  invoice, is wrong!", "invoice, wrong!", ""]


def test_where_no_spaces_are_written_each_sign_is_a_word() -> None:
    part = Text("text", "猫がいる ok")
    assert [player.name for player in part.players] == ["猫", "が", "い", "る", "ok"]


def test_a_long_text_has_a_bounded_number_of_players_that_cover_all_of_it() -> None:
    text = " ".join(f"w{i}" for i in range(500))
    part = Text("text", text)
    assert 1 < len(part.players) <= MOST_WORDS
    assert part.cells(np.ones((1, len(part.players)), bool), 0) == [text]


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_text_has_nobody(text: str) -> None:
    part = Text("text", text)
    assert part.players == () and part.cells(np.ones((2, 0), bool), 0) == ["", ""]


def test_regions_that_are_away_are_out_of_focus_and_the_others_as_they_were() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    part = Picture("image", pixels)
    count = len(part.players)
    assert part.regions.shape == (48, 64) and count > 10
    everybody = np.ones((1, count), bool)
    (whole,) = part.cells(everybody, 0)
    assert (np.asarray(whole) == pixels).all()
    one = everybody.copy()
    one[0, 3] = False
    found = np.asarray(part.cells(one, 0)[0])
    away = part.regions == 3
    assert (found[~away] == pixels[~away]).all() and (found[away] != pixels[away]).any()


def test_absent_columns_hold_what_other_rows_hold_all_from_the_same_row() -> None:
    seen: list[Any] = []

    def score(columns: Any) -> Any:
        seen.append(columns)
        return np.array([[float(size)] for size in columns["size"]])

    columns = {"size": [1.0, 10.0, 100.0], "colour": ["red", "green", "blue"]}
    parts = parts_of(columns, 0, {"size": "number", "colour": "category"}, [1, 2], lambda c: c)
    game = Game(0, parts, score, Target(Decision("regression")), draws=2)
    assert game.margins(masks("11", "01", "00")).tolist() == [1.0, 55.0, 55.0]
    pairs = list(zip(seen[0]["size"], seen[0]["colour"], strict=True))
    own, other = [(1.0, "red")] * 2, [(10.0, "red"), (100.0, "red")]
    assert pairs == [*own, *other, (10.0, "green"), (100.0, "blue")]
    assert isinstance(parts[0], Cell)


def test_what_is_explained_is_linear_in_the_scores_and_is_the_log_odds_of_two_classes() -> None:
    scores = np.array([[0.5, 2.0], [1.0, -1.0]])
    two = Target(Decision("binary", ("no", "yes"), temperature=2.0), 1)
    chance = two.chance(scores)
    np.testing.assert_allclose(two.margin(scores), np.log(chance / (1 - chance)))
    three = Target(Decision("multiclass", ("a", "b", "c")), 0)
    assert three.margin(np.array([[3.0, 1.0, 2.0]])).tolist() == [1.5]
    many = Target(Decision("multilabel", ("a", "b")), 1)
    assert many.margin(scores).tolist() == [2.0, -1.0]
    assert many.label == "b" and Target(Decision("regression")).label is None
