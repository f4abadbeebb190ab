"""Columns to numbers: every encoding, and cells that are not what they should be."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.runtime.columns import ColumnSpec, Numbers, category_text, to_dates, to_numbers
from metier.runtime.preprocess import restore

NAN = float("nan")


def rows(spec: ColumnSpec, cells: list[Any]) -> list[Any]:
    found = Numbers((spec,)).matrix({spec.name: cells})
    return [None if np.isnan(v) else round(float(v), 6) for v in found.ravel()]


def test_numbers_raw_and_scaled():
    raw = ColumnSpec("x", "number", "raw")
    assert rows(raw, [1, 2.5, None, NAN]) == [1, 2.5, None, None]
    assert rows(raw, ["3", "x", "", True, Decimal("1.5")]) == [3, None, None, 1, 1.5]
    assert rows(raw, [np.inf, -np.inf, 10**400]) == [None, None, None]
    scaled = ColumnSpec("x", "number", "scaled", mean=2, scale=4, fill=0)
    assert rows(scaled, [4, None]) == [0.5, 0]
    assert rows(ColumnSpec("x", "number", "missing"), [4, None, "x"]) == [0, 1, 1]


def test_numbers_too_big_for_float32_stay_finite():
    found = Numbers((ColumnSpec("x", "number", "raw"),)).matrix({"x": [1e300, -1e300]})
    assert np.isfinite(found).all()


def test_categories():
    known = ("red", "1", "true")
    cells = ["red", 1, 1.0, True, "green", None, NAN]
    assert rows(ColumnSpec("c", "category", "code", known), cells) == [0, 1, 1, 2, -1, -1, -1]
    target = ColumnSpec("c", "category", "target", known, (0.1, 0.2, 0.3), fill=0.5)
    assert rows(target, cells) == [0.1, 0.2, 0.2, 0.3, 0.5, 0.5, 0.5]
    found = Numbers((ColumnSpec("c", "category", "onehot", known),)).matrix({"c": cells})
    assert found.argmax(axis=1)[:4].tolist() == [0, 1, 1, 2]
    assert not found[4:].any()
    assert rows(ColumnSpec("c", "category", "missing"), cells) == [0, 0, 0, 0, 0, 1, 1]


def test_truth_is_known_however_it_is_spelt():
    """A CSV file has True where a frame has true."""
    cells = [True, "true", "True", "TRUE", False, "false", "FALSE", "no"]
    for known in (("True", "False"), ("true", "false"), ("TRUE", "FALSE")):
        codes = rows(ColumnSpec("c", "category", "code", known), cells)
        assert codes == [0, 0, 0, 0, 1, 1, 1, -1]
    both = rows(ColumnSpec("c", "category", "code", ("True", "true")), ["True", "true", True])
    assert both == [0, 1, 1]


def test_cells_of_a_number_column_that_are_none_are_counted():
    numbers = Numbers((ColumnSpec("x", "number", "raw"), ColumnSpec("x", "number", "missing")))
    cells = ["1.5", 2, "1,5", "k.A.", "", "nan", None, float("nan"), float("inf")]
    found = numbers.encode({"x": cells})
    assert found.unread == {"x": [2, 3]}
    assert [row[0][1] for row in found.examples] == [0, 0, 1, 1, 1, 1, 1, 1, 1]


def test_dates_are_read_as_they_were_written_at_training():
    spec = ColumnSpec("d", "date", "raw", format="%d/%m/%Y")
    numbers = restore(json.loads(json.dumps(Numbers((spec,)).spec())), Path())
    cells = ["03/04/2024", "2024-04-03", date(2024, 4, 3), "04/13/2024", "soon", None, ""]
    cells.append(np.datetime64("NaT"))
    found = numbers.encode({"d": cells})
    assert found.unread == {"d": [3, 4]}
    assert [int(row[0][1]) for row in found.examples[:3]] == [4, 4, 4]
    assert np.isnan([row[0] for row in found.examples[3:]]).all()
    with pytest.raises(ValueError, match="no format"):
        ColumnSpec("d", "date", "raw", format="%d.%d")


def test_rows_of_unseen_categories_are_told():
    numbers = Numbers((ColumnSpec("c", "category", "code", ("a",)),))
    assert numbers.encode({"c": ["a", "b", None, "c"]}).unseen == {"c": [1, 3]}
    assert numbers.encode({"c": ["a", None]}).unseen == {}


def test_dates_of_all_sorts():
    cells = [
        "2024-02-29", date(2024, 2, 29), datetime(2024, 2, 29), np.datetime64("2024-02-29"),
        datetime(2024, 2, 29, 2, tzinfo=timezone(timedelta(hours=2))), "2024-02-29T00:00:00Z",
    ]  # fmt: skip
    found = to_dates(cells)
    assert (found == found[0]).all()
    assert found[0].tolist() == [2024, 2, 29, 3, 19782]
    assert to_dates([datetime(1970, 1, 1, 12, tzinfo=UTC)])[0, 4] == 0.5
    assert np.isnan(to_dates(["soon", None, 5, NAN])).all()
    spec = ColumnSpec("d", "date", "scaled", fill=0.0, mean=19782, scale=10)
    assert rows(spec, [cells[0], None])[4:] == [0, 0, 0, 0, 0, 0]
    assert rows(ColumnSpec("d", "date", "missing"), [cells[0], None]) == [0, 1]


def test_names_and_order_follow_the_specs():
    numbers = Numbers(
        (
            ColumnSpec("b", "category", "onehot", ("x", "y")),
            ColumnSpec("a", "number", "raw"),
            ColumnSpec("c", "category", "code", ("x",)),
        )
    )
    assert numbers.names == ("b=x", "b=y", "a", "c")
    assert numbers.categorical == (3,)
    examples = numbers.encode({"a": [7], "c": ["x"], "b": ["y"]}).examples
    assert numbers.collate([e for e in examples if e])["numbers"].tolist() == [[0, 1, 7, 0]]


def test_spec_restores_the_same_value():
    numbers = Numbers(
        (
            ColumnSpec("a", "number", "scaled", mean=1.5, scale=2, fill=0.0),
            ColumnSpec("b", "category", "target", ("é", "y"), (0.25, 1), fill=0.5),
        )
    )
    assert restore(json.loads(json.dumps(numbers.spec())), Path()) == numbers


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "number", "encoding": "code"},
        {"kind": "word", "encoding": "raw"},
        {"kind": "category", "encoding": "target", "vocabulary": ("a",)},
        {"kind": "number", "encoding": "scaled", "scale": 0.0},
    ],
)
def test_specs_that_make_no_sense_are_refused(fields: dict[str, Any]):
    with pytest.raises(ValueError):
        ColumnSpec("x", **fields)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.binary(),
    st.datetimes(timezones=st.just(UTC)), st.decimals(), st.lists(st.integers(), max_size=3),
)  # fmt: skip


@given(st.lists(anything, max_size=8))
def test_no_cell_raises_and_none_moves(cells: list[Any]):
    specs = (
        ColumnSpec("x", "number", "scaled", mean=1, scale=3, fill=0.0),
        ColumnSpec("x", "category", "code", ("a", "1")),
        ColumnSpec("x", "date", "raw", fill=-1.0),
    )
    whole = Numbers(specs).matrix({"x": cells})
    assert np.isfinite(whole).all()
    for row, cell in zip(whole, cells, strict=True):
        np.testing.assert_array_equal(Numbers(specs).matrix({"x": [cell]})[0], row)


def test_helpers_are_plain():
    assert category_text(float("nan")) is None
    assert category_text(np.int64(3)) == "3"
    assert np.isnan(to_numbers(["a"])).all()
