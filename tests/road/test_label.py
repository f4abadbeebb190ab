"""`metier label` from a bundle and a pool to rows that are worth a label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier import api
from metier.cli import main
from metier.errors import DataError, OptionError
from metier.strategies.boost import Boost
from metier.strategies.classical import Classical
from metier.strategies.probe import Probe
from metier.types import Roles, Table
from tests.made import make_bundle

Tables = Callable[..., Table]


def measured(n: int = 300, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    size, weight = rng.normal(size=(2, n))
    bought = np.where(size + 0.2 * weight > 0, "yes", "no")
    return pl.DataFrame({"size": size, "weight": weight, "bought": bought, "price": 9 + size})


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, tiny_sources: dict[str, Any], tiny_table: Tables
) -> dict[str, Path]:
    folder, inputs = tmp_path_factory.mktemp("runs"), {"size": "number", "weight": "number"}
    made = {}
    for name, target, kind in (("bought",) * 2 + ("binary",), ("price",) * 2 + ("regression",)):
        table = Table(measured(), Roles(inputs, (target,)))
        made[name] = make_bundle(folder / name, Boost(trees=20), table, kind)
    words = tiny_table(tiny_sources["bert"], 60)
    made["text"] = make_bundle(folder / "text", Probe(), words, "multiclass", tiny_sources["bert"])
    return made


def test_the_rows_it_is_least_sure_of(runs: dict[str, Path], tmp_path: Path) -> None:
    pool, out = measured(100, 1).drop("bought"), tmp_path / "rows.csv"
    found = api.label(runs["bought"], pool, n=7, by="margin", out=out)
    assert len(found.rows) == 7 and found.margins is not None and found.pool == 100
    assert list(found.margins) == sorted(found.margins)
    sure = api.predict(runs["bought"], pool).probabilities
    assert sure is not None
    assert found.margins[0] == pytest.approx(float(np.abs(sure[:, 0] - sure[:, 1]).min()), abs=1e-6)
    written = pl.read_csv(out)
    assert written["row"].to_list() == list(found.rows)
    assert written["size"].to_list() == pytest.approx(pool["size"].to_numpy()[list(found.rows)])


def test_rows_that_have_a_label_are_left_out(runs: dict[str, Path]) -> None:
    some = pl.when(pl.int_range(pl.len()) < 90).then("bought").otherwise(None)
    found = api.label(runs["bought"], measured(100, 1).with_columns(bought=some), n=50)
    assert found.pool == 10 and sorted(found.rows) == list(range(90, 100))


def test_numbers_are_spread(runs: dict[str, Path]) -> None:
    found = api.label(runs["price"], measured(100, 1), n=5)
    assert found.margins is None and len(set(found.rows)) == 5


def test_it_is_played_against_chance(runs: dict[str, Path]) -> None:
    found = api.label(runs["bought"], measured(50, 1), n=5, compare=measured(200, 2))
    told = {each.name: each for each in found.findings}["against_chance"]
    assert told.n == 200 and told.low is not None and told.high is not None
    assert told.value is not None and told.low <= told.value <= told.high
    assert "drawn by chance" in told.verdict
    with pytest.raises(DataError, match="59 labelled rows say nothing"):
        api.label(runs["bought"], measured(50, 1), compare=measured(59, 2))


def rarely(positive: int, seed: int) -> pl.DataFrame:
    """Rows of which the first few alone are bought."""
    bought = ["yes" if row < positive else "no" for row in range(120)]
    return measured(120, seed).with_columns(bought=pl.Series(bought))


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose metric has no value on rows of one class."""
    table = Table(rarely(40, 0), Roles({"size": "number", "weight": "number"}, ("bought",)))
    folder = tmp_path_factory.mktemp("ranked") / "run"
    return make_bundle(folder, Boost(trees=20), table, "binary", metric="roc_auc")


def test_plays_that_measure_nothing_are_left_out_and_counted(ranked: Path) -> None:
    found = api.label(ranked, measured(50, 1), n=5, compare=rarely(4, 2))
    told = {each.name: each for each in found.findings}["against_chance"]
    assert told.low is not None and told.high is not None
    assert np.isfinite([told.low, told.high]).all()
    assert "more could not be measured" in told.verdict and "no number" not in told.verdict


def test_where_no_play_measures_anything_it_is_said(ranked: Path) -> None:
    found = api.label(ranked, measured(50, 1), n=5, compare=rarely(0, 2))
    told = {each.name: each for each in found.findings}["against_chance"]
    assert told.value is None and told.level == "warning"
    assert "could not be measured" in told.verdict and "chance)" not in told.verdict


def test_the_command_prints_rows_and_one_json_object(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = tmp_path / "pool.csv"
    pl.DataFrame({"text": ["my card", "refund", "my card is lost", "a fee"]}).write_csv(pool)
    assert main(["label", str(runs["text"]), str(pool), "--n", "2", "--json"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed.splitlines()[-1])
    assert len(found["rows"]) == 2 and "2 of 4 rows" in printed


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 0}, "expected a whole number from 1"),
        ({"by": "luck"}, "unknown --by 'luck'"),
        ({"out": Path("rows.xyz")}, "ends in .csv or .parquet"),
    ],
)
def test_what_cannot_be_is_refused(
    options: dict[str, Any], told: str, runs: dict[str, Path]
) -> None:
    with pytest.raises(OptionError, match=told):
        api.label(runs["bought"], measured(20), **options)


@pytest.mark.parametrize("by", ["both", "margin", "diversity"])
def test_a_bundle_that_has_nothing_to_choose_by_says_so(
    by: str, tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    """It named no row and said nothing, since counted words are no features."""
    words = tiny_table(tiny_sources["bert"], 60)
    prices = words.frame.with_columns(price=pl.int_range(60) / 7)
    table = Table(prices, Roles(words.roles.inputs, ("price",)))
    run = make_bundle(tmp_path / "prices", Classical(), table, "regression")
    pool = prices.select(*words.roles.inputs)
    with pytest.raises(OptionError, match="keeps no features and its answers are numbers"):
        api.label(run, pool, by=by)
    run = make_bundle(tmp_path / "topics", Classical(), words, "multiclass")
    if by == "diversity":
        with pytest.raises(OptionError, match=r"--by diversity: .* take margin"):
            api.label(run, pool, by=by)
    else:
        assert len(api.label(run, pool, n=5, by=by).rows) == 5


def test_a_pool_of_other_columns_is_refused(runs: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="no column 'text', which the bundle reads"):
        api.label(runs["text"], {"txt": ["a", "b"]})
