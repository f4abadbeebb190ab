"""From data as read to a table: what typing makes of odd values."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.data.labels import infer_task
from metier.data.leakage import find_leaks
from metier.data.read import read
from metier.data.table import build_table
from metier.data.vectors import plain_features
from metier.errors import DataError
from metier.runtime.columns import category_text
from metier.training.tables.columns import fit_codes
from metier.types import Kind, Roles, Table


def table(kind: Kind, values: list[Any], target: list[Any] | None = None) -> Table:
    data = pl.DataFrame({"x": values, "label": target or ["a", "b"] * (len(values) // 2)})
    return build_table(read(data), Roles({"x": kind}, ("label",)))[0]


@pytest.mark.parametrize(
    "values",
    [
        [1.0, None, 2.0, 12.0],
        [1, None, 2, 3],
        [True, False, None, True],
        [1.5, 2.0, 1e20, -0.0],
        [datetime(2024, 1, 31), None, datetime(2024, 1, 31, 12), datetime(2025, 1, 1)],
    ],
)
def test_categories_are_written_at_training_as_at_predict(values: list[Any]) -> None:
    """A gap makes whole numbers floats: training had 1.0 and predict 1, so all were unseen."""
    found = table("category", values)
    assert found.frame["x"].to_list() == [category_text(value) for value in values]
    assert fit_codes(found).encode({"x": values}).unseen == {}


INFINITE = [1.5, math.inf, -math.inf, math.nan]


def test_numbers_that_are_not_finite_are_missing_in_every_form(tmp_path: Path) -> None:
    """As they are in CSV; they ended the search for leaks with a traceback."""
    frame = pl.DataFrame({"x": INFINITE, "label": ["a", "b"] * 2})
    frame.write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text("x,label\n1.5,a\n1e999,b\n-inf,a\nnan,b\n")
    (tmp_path / "rows.json").write_text(json.dumps([{"x": x, "label": "a"} for x in INFINITE]))
    forms = [frame, frame.to_pandas(), *tmp_path.iterdir()]
    assert len(forms) == 5
    for form in forms:
        assert read(form).frame["x"].to_list() == [1.5, None, None, None]


LONG = 89_014_103_211_118_510_720


def test_whole_numbers_that_numpy_cannot_hold_are_numbers_or_names(tmp_path: Path) -> None:
    """Twenty digits are 128 bits wide to polars: no bundle could be written."""
    rows = [{"x": LONG + value, "label": "ab"[value % 2]} for value in range(60)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    frame = pl.DataFrame({"x": [2**64 + value for value in range(60)], "label": ["a", "b"] * 30})
    unsigned = frame.with_columns(pl.col("x").cast(pl.UInt128))
    for data in (*tmp_path.iterdir(), frame, unsigned):
        raw = read(data)
        found, _ = build_table(raw, Roles({"x": "number"}, ("label",)))
        assert found.frame["x"].dtype == pl.Float64
        assert np.isfinite(plain_features(found)).all()
        named, _ = build_table(raw, Roles({"x": "category"}, ("label",), group="x"))
        assert named.frame["x"].n_unique() == 60


@pytest.mark.parametrize("huge", [math.inf, -math.inf, 1e39, -1e300])
def test_a_huge_number_ends_no_check(huge: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=60)
    labels = ["a" if value > 0 else "b" for value in values + rng.normal(size=60)]
    found = table("number", [huge, *values[1:]], labels)
    assert find_leaks(found, np.array([label == "b" for label in labels], dtype=np.int64)) == []


def test_a_huge_target_is_refused_in_one_line_and_an_infinite_one_is_missing() -> None:
    whole = [float(value % 7 + 3) for value in range(60)]
    found = table("number", list(range(60)), [math.inf, *whole[1:]])
    assert len(found) == 59
    assert infer_task(found) == "regression"
    for target in ([1e39, *whole[1:]], [1e39, math.nan, *whole[2:]]):
        with pytest.raises(DataError, match="row 0, and no number so large"):
            infer_task(table("number", list(range(60)), target))
    given = pl.DataFrame({"x": range(60), "label": [math.inf, *whole[1:]]})
    with pytest.raises(DataError, match="no number so large"):
        infer_task(Table(given, Roles({"x": "number"}, ("label",))))


def test_a_column_may_be_called_count() -> None:
    """What counts values names its own column so."""
    frame = pl.DataFrame({"count": ["a", "b", None, "b"], "label": ["x", "y"] * 2})
    for inputs, target in (("count", "label"), ("label", "count")):
        found, _ = build_table(read(frame), Roles({inputs: "category"}, (target,)))
        assert infer_task(found) == "binary"
        assert plain_features(found).shape == (len(found), 2)


def test_a_category_without_any_value_has_features_that_say_nothing() -> None:
    frame = pl.DataFrame({"x": pl.Series([None] * 4, dtype=pl.String), "label": ["a", "b"] * 2})
    found, _ = build_table(read(frame), Roles({"x": "category"}, ("label",)))
    assert not plain_features(found).any()
