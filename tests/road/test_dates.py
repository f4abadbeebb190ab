"""Dates that are not in ISO 8601, from training to every use of a bundle."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from metier import api
from metier.data.read import read
from metier.data.roles import infer_roles
from metier.data.table import build_table
from metier.runtime.session import load
from metier.strategies.boost import Boost
from metier.strategies.linear import Linear
from tests.made import make_bundle

DAYS = [date(2023, 1, 1) + timedelta(days=3 * i) for i in range(240)]
FORMAT = "%d/%m/%Y"


def days_file(path: Path, days: list[str], labels: list[str]) -> Path:
    pl.DataFrame({"day": days, "label": labels}).write_csv(path)
    return path


@pytest.fixture(params=["booster", "linear"])
def made(request: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A bundle that tells early months from late ones, and the file that it learned from."""
    labels = ["early" if day.month < 7 else "late" for day in DAYS]
    file = days_file(tmp_path / "rows.csv", [day.strftime(FORMAT) for day in DAYS], labels)
    raw = read(file)
    table, _ = build_table(raw, infer_roles(raw, target="label"))
    strategy = Boost(trees=20) if request.param == "booster" else Linear()
    return make_bundle(tmp_path / "run", strategy, table, "binary"), file


def test_predict_reads_them_as_training_did(made: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, file = made
    found = api.predict(bundle, file)
    assert found.warnings == ()
    right = pl.read_csv(file)["label"].to_list()
    assert sum(a == b for a, b in zip(found.answers, right, strict=True)) > 0.9 * len(right)
    iso = days_file(tmp_path / "iso.csv", [day.isoformat() for day in DAYS], right)
    assert api.predict(bundle, iso).answers == found.answers
    assert load(bundle).predict({"day": DAYS}).answers == found.answers


def test_a_file_in_which_they_could_be_another_is_measured_as_it_is_predicted(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    """Days up to the 12th alone: who knew this file only would take 03/10 for the 10th of March."""
    days = [date(2024, month, day) for month in range(1, 13) for day in range(1, 6)]
    labels = ["early" if day.month < 7 else "late" for day in days]
    file = days_file(tmp_path / "short.csv", [day.strftime(FORMAT) for day in days], labels)
    right = sum(a == b for a, b in zip(api.predict(made[0], file).answers, labels, strict=True))
    measured = {each.name: each.value for each in api.evaluate(made[0], file)}
    assert measured["accuracy"] == pytest.approx(right / len(labels))
    assert right > 0.9 * len(labels)


def test_what_is_no_date_is_told(made: tuple[Path, Path]) -> None:
    found = load(made[0]).predict({"day": ["13/02/2024", "2/13/2024", "soon", None]})
    assert found.warnings == (
        "cells that are no number, or no date written as in training or as 2024-12-31, treated as "
        "empty in 'day' (2)",
    )
