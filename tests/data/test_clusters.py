"""Rows that belong together, as intervals take them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from metier.data.table import clusters_of
from metier.report.wording import over_groups
from metier.types import Roles, Table

ROLES = Roles({"x": "number"}, ("y",), group="who")


def table(who: list[str | None]) -> Table:
    return Table(
        pl.DataFrame({"x": range(len(who)), "who": pl.Series(who, dtype=pl.String)}), ROLES
    )


def test_a_missing_group_is_a_cluster_of_its_own() -> None:
    found = clusters_of(table(["a", None, "b", "a", None, ""]))
    assert found is not None
    assert found[0] == found[3] and len(set(found.tolist())) == 5


def test_some_rows_keep_their_groups_and_one_that_is_there_twice_is_one() -> None:
    found = clusters_of(table(["a", None, "b", "a"]), np.array([1, 1, 2, 0, 3]))
    assert found is not None
    assert found[0] == found[1] and found[3] == found[4] and len(set(found.tolist())) == 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (table(["a", "b"]), "over the groups of who"),
        (table(["a", "a"]), "one group of who"),
        (Table(pl.DataFrame({"x": [1, 2]}), ROLES), "do not tell their who"),
        (Table(pl.DataFrame({"x": [1, 2]}), Roles({"x": "number"}, ("y",))), ""),
    ],
)
def test_what_intervals_are_over_is_said(rows: Table, said: str) -> None:
    assert said in over_groups(rows)
    assert bool(over_groups(rows)) == bool(said)
    assert (clusters_of(rows) is None) == ("over the groups" not in said)


def test_few_groups_are_called_few() -> None:
    assert "4 groups are few" in over_groups(table(list("abcd") * 5))
    assert "few" not in over_groups(table([f"p{k}" for k in range(40)]))
