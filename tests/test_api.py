"""The functions behind the commands, apart from whole runs (see tests/road)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from metier import api
from metier.errors import DataError, OptionError
from metier.types import Finding


def test_strategies_and_sources_are_listed() -> None:
    found = {row["strategy"]: row for row in api.strategies()}
    assert {"probe", "boost", "classical"} <= found.keys()
    assert all(row["about"] and row["gives"] for row in found.values())
    rows = api.sources()
    assert {row["modality"] for row in rows} == {"text", "image", "tabular"}
    assert next(r for r in rows if r["source"] == "lightgbm")["state"] == "ready"


def test_check_finds_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = pl.DataFrame(
        {"text": ["same words here"] * 4 + ["others"] * 4, "label": ["a", "b"] * 4}
    )
    found = api.check(frame, target="label")
    assert all(isinstance(each, Finding) for each in found)
    assert any("duplicate" in each.name for each in found)
    assert not any(tmp_path.iterdir())


def test_tables_have_no_sources_to_rank() -> None:
    with pytest.raises(DataError, match="tables"):
        api.rank(pl.DataFrame({"x": range(20), "label": ["a", "b"] * 10}), target="label")


def test_predictions_go_where_they_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="csv or"):
        api.predict(tmp_path, "rows.csv", out=tmp_path / "answers.txt")


def test_rows_without_any_column_that_a_bundle_reads_are_refused_with_what_there_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("height,width\n1,2\n")
    bundle = Path(__file__).parent / "bundles" / "v1-table"
    with pytest.raises(DataError, match="found: 'height', 'width'"):
        api.predict(bundle, path)
