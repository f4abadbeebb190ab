"""From data as read to a table: what typing makes of odd values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from metier.data.read import read
from metier.data.table import build_table
from metier.runtime.columns import category_text
from metier.training.columns import fit_codes
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
