"""Words and columns over many rows, and where in pictures shares lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metier.evidence.explanations.attribution import Attribution, Occlusion
from metier.evidence.explanations.overall import CELLS, overall, plain, spread
from metier.evidence.explanations.players import Game, Picture, Target, Text
from metier.runtime.postprocess import Decision

from .rules import game, weighed

TWO = Decision("binary", ("bad", "good"))


def test_a_word_is_one_word_however_it_is_written() -> None:
    assert [plain(word) for word in ("Good,", '"good"', "GOOD", "don't", "...")] == [
        "good", "good", "good", "don't", "",
    ]  # fmt: skip


def test_what_matters_is_told_with_how_often_and_by_label() -> None:
    def row(number: int, text: str, which: int, values: list[float]) -> Any:
        made = Game(number, (Text("text", text),), lambda c: np.zeros((1, 2)), Target(TWO, which))
        return made, Attribution(np.array(values), 0.0, 0.0)

    rows = [
        row(0, "Good film", 1, [2.0, 0.1]),
        row(1, "good good", 1, [1.0, 1.0]),
        row(2, "good, bad", 0, [-1.0, 3.0]),
        row(3, "bad", 0, [1.0]),
        row(4, "bad day", 0, [2.0, 0.0]),
    ]
    found = overall(rows)
    everywhere = {each.name: each for each in found.importances if each.label is None}
    assert set(everywhere) == {"good", "bad"}, "what stands in two rows or fewer is left out"
    good = everywhere["good"]
    assert good.size.n == 3 and good.size.value == pytest.approx(5 / 3)
    assert good.toward == pytest.approx(1.0)
    assert {each.label for each in found.importances} == {None, "bad", "good"} or found.n == 5


def test_columns_are_ordered_by_size() -> None:
    rows = [game("ab", weighed(a=1.0, b=-2.0), row) for row in range(5)]
    found = overall([(each, Occlusion()(each)) for each in rows])
    assert [each.name for each in found.importances] == ["b", "a"]
    assert found.importances[0].toward == -2.0 and found.n == 5


def test_shares_of_regions_are_spread_over_their_pixels_and_taken_together_on_a_grid() -> None:
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:32, 32:] = 255
    part = Picture("photo", pixels)
    bright = np.unique(part.regions[4:28, 36:60])
    values = np.isin(np.arange(len(part.players)), bright).astype(float)
    assert spread(part, values).sum() == pytest.approx(values.sum())
    made = Game(0, (part,), lambda c: np.zeros((1, 2)), Target(TWO, 1))
    (area,) = overall([(made, Attribution(values, 0.0, 1.0))]).areas
    half = CELLS // 2
    assert area.cells.sum() == pytest.approx(1.0)
    assert area.cells[:half, half:].sum() > 0.8
