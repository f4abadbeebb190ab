"""Rows without labels: read, set apart by domain, and refused where they say nothing."""

from __future__ import annotations

import polars as pl
import pytest

from metier.data.pool import pool_table, set_apart
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.roles import infer_roles
from metier.data.table import build_table, row_numbers
from metier.errors import DataError
from metier.types import Roles

ROLES = Roles({"text": "text"}, ("label",), domain="domain")


def rows(n: int = 200) -> Raw:
    frame = pl.DataFrame(
        {
            "text": [f"a sentence about thing {i}" for i in range(n)],
            "label": ["good" if i % 3 else "bad" for i in range(n)],
            "domain": ["books" if i % 2 else "games" for i in range(n)],
        }
    )
    return Raw(frame, None, "reviews", "0")


def test_domains_are_set_apart_and_rows_keep_their_numbers() -> None:
    apart = set_apart(rows(10), "domain", "books")
    table, _ = build_table(apart.target, ROLES)
    assert row_numbers(table).tolist() == [1, 3, 5, 7, 9]
    assert apart.labelled.frame["domain"].unique().to_list() == ["games"]


@pytest.mark.parametrize(
    ("domain", "values", "told"),
    [
        ("boks", ["books", "games", "games"], "did you mean 'books'"),
        ("books", ["books", "games", "games"], "has one row"),
        ("books", ["books", "books", "books"], "every row is of this domain"),
    ],
)
def test_a_domain_that_says_nothing_is_refused(domain: str, values: list[str], told: str) -> None:
    raw = rows(3)
    raw = Raw(raw.frame.with_columns(domain=pl.Series(values)), None, "reviews", "0")
    with pytest.raises(DataError, match=told):
        set_apart(raw, "domain", domain)


def test_a_domain_is_never_an_input() -> None:
    roles = infer_roles(rows(), target="label", domain="domain")
    assert roles.domain == "domain" and list(roles.inputs) == ["text"]
    with pytest.raises(DataError, match="is the target"):
        infer_roles(rows(), target="label", domain="label")


def test_unlabelled_rows_keep_inputs_only_and_none_that_is_labelled() -> None:
    known, _ = build_table(rows(50), ROLES)
    pool, lost = pool_table(rows(80), ROLES, [known])
    assert lost == 50 and len(pool) == 30
    assert set(pool.frame.columns) == {"text", "__row__"} and not pool.roles.target
    with pytest.raises(DataError, match="0 of 50 are not among the"):
        pool_table(rows(50), ROLES, [known])


def test_other_columns_are_refused_and_the_near_one_named() -> None:
    with pytest.raises(DataError, match=r"no column 'text', .*did you mean 'texts'"):
        pool_table(read({"texts": ["a", "b"]}), ROLES)


@pytest.mark.parametrize("odd", [0.5, None])
def test_whole_numbers_are_known_again_beside_a_fraction_or_a_gap(odd: float | None) -> None:
    whole, more = list(range(30)), [101.0, 102.0]
    roles = Roles({"a": "number", "b": "number"})
    for ours, theirs in (
        (whole, [*map(float, whole), *more, odd]),
        ([*map(float, whole), odd], [*whole, 101, 102, 103]),
    ):
        known, _ = build_table(read({"a": ours, "b": range(len(ours))}), roles)
        test, _ = build_table(read({"a": [101], "b": [30]}), roles)
        raw = read({"a": theirs, "b": range(len(theirs))})
        pool, lost = pool_table(raw, roles, [known, test])
        assert lost == 31 and pool.frame["a"].to_list() == theirs[31:]
        assert pool.frame["a"].dtype == raw.frame["a"].dtype
