from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from metier.training.tables.columns import MOST_INDICATORS, fit_codes, fit_scaled
from metier.types import Roles, Table


def table(**columns: Any) -> Table:
    frame = pl.DataFrame(columns)
    kinds: Any = {pl.String: "category", pl.Date: "date"}
    return Table(
        frame, Roles({c: kinds.get(type(frame[c].dtype), "number") for c in frame.columns})
    )


def test_codes_go_by_how_often_a_category_occurs() -> None:
    rows = table(colour=["b", "a", "b", None, "c", "a", "b"], size=[1, 2, 3, 4, 5, 6, 7])
    numbers = fit_codes(rows)
    assert numbers.columns[0].vocabulary == ("b", "a", "c")
    assert numbers.categorical == (0,)
    found = numbers.matrix(rows.columns())
    np.testing.assert_array_equal(found[:, 0], [0, 1, 0, -1, 2, 1, 0])
    np.testing.assert_array_equal(found[:, 1], [1, 2, 3, 4, 5, 6, 7])


def test_scaled_numbers_have_mean_0_and_spread_1_and_mark_gaps() -> None:
    rows = table(size=[1.0, 2.0, None, 6.0], whole=[1.0, 2.0, 3.0, 4.0], same=[5.0] * 4)
    numbers = fit_scaled(rows)
    assert numbers.names == ("size", "size missing", "whole", "same")
    found = numbers.matrix(rows.columns())
    np.testing.assert_allclose(found[[0, 1, 3], 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 2].std(), 1, rtol=1e-6)
    assert found[2, 0] == 0 and found[:, 1].tolist() == [0, 0, 1, 0]
    assert (found[:, 3] == 0).all()


def test_wild_columns_stay_finite() -> None:
    rows = table(
        huge=[1e308, -1e308, 1e308],
        empty=pl.Series([None, None, None], dtype=pl.Float64),
        endless=[float("inf"), 1.0, float("nan")],
    )
    assert np.isfinite(fit_scaled(rows).matrix(rows.columns())).all()


def test_rare_categories_of_many_share_no_indicator() -> None:
    names = [f"c{i:03}" for i in range(MOST_INDICATORS + 50)]
    rows = table(code=[*names, "c170", "c170"])
    numbers = fit_scaled(rows)
    assert len(numbers.names) == MOST_INDICATORS
    assert numbers.names[0] == "code=c170"


def test_texts_and_images_are_left_out() -> None:
    frame = pl.DataFrame({"text": ["a"], "image": ["b.png"], "size": [1.0]})
    rows = Table(frame, Roles({"text": "text", "image": "image", "size": "number"}))
    assert fit_codes(rows).names == ("size",) == fit_scaled(rows).names
