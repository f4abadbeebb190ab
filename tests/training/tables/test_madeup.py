from __future__ import annotations

import numpy as np
import polars as pl

from metier.training.folds import MADE, inner_folds
from metier.training.tables.madeup import ORIGIN, Cells, nearest, read_cells, with_made
from metier.types import Roles, Table

FRAME = pl.DataFrame(
    {
        "size": [1.0, None, 3.0, 4.0],
        "rooms": [1, 2, 3, 4],
        "colour": ["red", None, "blue", "red"],
        "lift": [True, False, True, None],
        "day": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"],
        "answer": ["a", "b", "a", "b"],
    }
)
TABLE = Table(
    FRAME,
    Roles(
        {
            "size": "number",
            "rooms": "number",
            "colour": "category",
            "lift": "category",
            "day": "date",
        },
        ("answer",),
    ),
)


def test_cells_come_back_as_they_were() -> None:
    cells, known = read_cells(TABLE)
    again = with_made(TABLE, cells, np.arange(4), known)
    assert len(again) == 8 and again.frame.columns[:6] == FRAME.columns
    assert again.frame[4:].drop(ORIGIN, MADE).equals(FRAME)
    assert again.frame[:4].drop(ORIGIN, MADE).equals(FRAME)


def test_whole_numbers_stay_whole_and_the_rest_is_that_of_the_parent() -> None:
    cells, known = read_cells(TABLE)
    made = Cells(np.array([[1.4, 2.6]]), np.array([[2, 1]]))
    row = with_made(TABLE, made, np.array([3]), known).frame.row(4, named=True)
    assert row["rooms"] == 3 and row["size"] == 1.4 and row["colour"] == "blue"
    assert row["lift"] is False and row["day"] == "2024-01-04" and row["answer"] == "b"
    assert len(cells) == 4


def test_a_made_row_is_set_aside_with_its_parent() -> None:
    rows = TABLE.take([k % 4 for k in range(40)])
    cells, known = read_cells(rows)
    parents = np.repeat(np.arange(40), 2)
    whole = with_made(rows, cells.take(parents), parents, known)
    origin = whole.frame[ORIGIN].to_numpy()
    assert (origin[40:] == parents).all()
    for fit, judge in inner_folds(whole, np.zeros(len(whole)), 3, 0):
        assert not set(origin[fit]) & set(origin[judge])
        assert judge.max() < 40  # what was made up judges nothing
    grouped = Table(rows.frame.with_columns(who=pl.lit("x")), Roles(rows.roles.inputs, group="who"))
    assert with_made(grouped, cells, np.arange(40), known).roles.group == "who"


def test_nearest_can_leave_the_row_itself_out() -> None:
    points = np.array([[0.0], [1.0], [5.0]])
    places, distances = nearest(points, points, leave_own=True)
    assert places.tolist() == [1, 0, 1] and distances.tolist() == [1.0, 1.0, 4.0]
    assert nearest(np.array([[4.0]]), points)[0].tolist() == [2]


def test_categories_that_differ_lie_one_apart() -> None:
    cells = Cells(np.zeros((2, 0)), np.array([[0], [1]]))
    coordinates = cells.scaled(cells)
    assert np.isclose(np.linalg.norm(coordinates[0] - coordinates[1]), 1.0)
