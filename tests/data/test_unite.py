"""Rows of several tasks in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.data.unite import unite
from metier.errors import DataError
from metier.types import Roles, Table


def texts(name: str, rows: list[str | None]) -> Table:
    return Table(pl.DataFrame({name: rows}, schema={name: pl.String}), Roles({name: "text"}))


def test_equal_rows_stand_once_whatever_their_column_is_called() -> None:
    found = unite([texts("text", ["a", "b", None]), texts("review", ["c", "b", "b", None])])
    assert found.table.columns() == {"text": ["a", "b", None, "c", "b"]}
    assert [place.tolist() for place in found.places] == [[0, 1, 2], [3, 1, 4, 2]]


def test_digests_are_those_of_the_rows() -> None:
    found = unite([texts("text", ["a", "b"]), texts("review", ["c"])])
    again = Table(found.table.frame, found.table.roles)
    np.testing.assert_array_equal(found.table.digests, again.digests)


def test_pictures_of_two_folders(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Table]
) -> None:
    one = tiny_table(tiny_sources["vit"], 6, "binary", 1)
    two = tiny_table(tiny_sources["vit"], 5, "binary", 2)
    found = unite([one, two])
    assert len(found.table) == 11 and found.table.base is None
    np.testing.assert_array_equal(found.table.digests[found.places[1]], two.digests)


def test_what_reads_something_else_is_refused(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Table]
) -> None:
    pictures = tiny_table(tiny_sources["vit"], 6, "binary", 1)
    with pytest.raises(DataError, match="one network reads all tasks"):
        unite([texts("text", ["a"]), pictures])
    pair = texts("a", ["x"])
    pair = replace(pair, frame=pair.frame.with_columns(b=pl.lit("y")),
                   roles=Roles({"a": "text", "b": "text"}))  # fmt: skip
    with pytest.raises(DataError, match="2 text columns"):
        unite([texts("text", ["a"]), pair])
