"""Who a bundle serves worse: what the audit calls."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from metier.data.read import read
from metier.errors import DataError
from metier.road.fairly import serve_whom
from metier.road.labelled import read_labelled
from metier.runtime.session import Bundle, load
from metier.strategies.linear import Linear
from metier.types import Roles, Table
from tests.made import make_bundle
from tests.strategies.people import people


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    table = people()
    aware = Table(table.frame, Roles({"skill": "number", "sex": "category"}, table.roles.target))
    return load(make_bundle(tmp_path_factory.mktemp("run") / "run", Linear(), aware, "binary"))


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    table = people(700, seed=5)
    ages = np.random.default_rng(0).integers(18, 80, 700)
    return table.frame.with_columns(age=pl.Series(ages))


def test_all_of_it_at_once(bundle: Bundle, frame: pl.DataFrame) -> None:
    raw = read(frame)
    found = serve_whom(bundle, read_labelled(bundle, raw), raw, ["sex", "age:40"])
    assert found.columns == ("sex", "age") and found.n == 700
    assert {g.name for g in found.groups} == {"f", "m", "below 40", "40 and more"}
    assert len(found.crossed) == 4 and len(found.proxies) == 2
    assert {d.details["column"] for d in found.disparities} == {"sex", "age", "sex & age"}
    told = " ".join(found.notes)
    assert "groups of age begin at 40: as given" in told
    assert "reads sex: it was trained without --sensitive" in told
    assert "sex" not in found.proxies[0].details["carried"]
    assert len({each.name for each in found.findings}) == len(found.findings)


def test_without_a_column_only_slices_are_looked_for(bundle: Bundle, frame: pl.DataFrame) -> None:
    raw = read(frame)
    found = serve_whom(bundle, read_labelled(bundle, raw), raw, [])
    assert not found.groups and not found.disparities and found.slices[-1].name == "slices"


def test_empty_cells_are_a_group_of_their_own(bundle: Bundle, frame: pl.DataFrame) -> None:
    gaps = frame.with_columns(
        sex=pl.when(pl.int_range(700) < 120).then(pl.lit(None)).otherwise(pl.col("sex"))
    )
    raw = read(gaps)
    found = serve_whom(bundle, read_labelled(bundle, raw), raw, ["sex"])
    assert {g.name: g.n for g in found.groups}["missing"] == 120


def test_a_column_of_one_value_is_refused(bundle: Bundle, frame: pl.DataFrame) -> None:
    raw = read(frame.with_columns(same=pl.lit("one")))
    with pytest.raises(DataError, match="one value only"):
        serve_whom(bundle, read_labelled(bundle, raw), raw, ["same"])
