"""Rows without labels: drawn, measured, and what they make of the rows that choose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metier import api
from metier.cache import Cache
from metier.data.splits import PROVE, SELECT, split
from metier.report.content import from_json, to_json
from metier.road.pace import Shown
from metier.road.unlabelled import Pool, look_at
from metier.search.race import Race
from metier.tasks import build
from metier.types import Roles, Table

INPUTS = {"size": "number", "weight": "number"}


def town(n: int, seed: int, shift: float) -> pl.DataFrame:
    """Big things are bought in one town, heavy ones in the other, where all is bigger."""
    rng = np.random.default_rng(seed)
    size, weight = rng.normal(size=(2, n))
    size = size + shift
    bought = np.where(np.where(size > 1, weight, size) > 0, "yes", "no")
    return pl.DataFrame({"size": size, "weight": weight, "bought": bought})


def race_on(frame: pl.DataFrame, folder: Path) -> Race:
    table = Table(frame, Roles(INPUTS, ("bought",)))
    task = build("binary", table)
    divided = split(table, task.kind, test_given=False, seed=0, clusters=np.arange(len(table)))
    return Race(table, task, divided, {}, folder, Cache(folder / "cache"))


def pool_of(frame: pl.DataFrame) -> Pool:
    return Pool(Table(frame.select(list(INPUTS)), Roles(INPUTS)))


def test_rows_that_come_from_elsewhere_weigh_labelled_ones(tmp_path: Path) -> None:
    race = race_on(town(900, 0, 0.0), tmp_path)
    found = look_at(pool_of(town(500, 1, 1.2)), race, Shown({}))
    assert found.shift is not None and found.shift.shifted and found.weights is not None
    size = race.table.frame["size"].to_numpy()
    assert found.weights[size > 1].mean() > 2 * found.weights[size < 0].mean()
    plain = race.rows(SELECT, [0])
    race.weights = found.weights
    weighed = race.rows(SELECT, [0])
    assert len(weighed) < len(plain) and set(weighed) <= set(plain)
    assert size[weighed].mean() > size[plain].mean() + 0.5
    assert np.array_equal(race.rows(PROVE, [0]), np.unique(race.rows(PROVE, [0])))


def test_rows_like_the_labelled_ones_change_nothing(tmp_path: Path) -> None:
    found = look_at(pool_of(town(400, 1, 0.0)), race_on(town(400, 0, 0.0), tmp_path), Shown({}))
    assert found.shift is not None and not found.shift.shifted and found.weights is None


def test_rows_with_nothing_in_common_are_not_weighed(tmp_path: Path) -> None:
    found = look_at(pool_of(town(300, 1, 9.0)), race_on(town(300, 0, 0.0), tmp_path), Shown({}))
    assert found.shift is not None and found.shift.shifted and found.weights is None
    assert "hardly any labelled row is like them" in found.notes[-1]


def test_a_run_tells_the_shift_and_proves_on_the_target_domain(tmp_path: Path) -> None:
    here, there = town(300, 0, 0.0), town(300, 1, 1.2)
    data = pl.concat(
        [
            here.with_columns(domain=pl.lit("here")),
            there.with_columns(domain=pl.lit("there")),
        ]
    )
    found = api.specialize(
        data,
        target="bought",
        target_domain="there",
        strategies=["boost"],
        trials=1,
        out=tmp_path / "run",
    )
    report = found.report
    assert report.shift is not None and report.shift.shifted
    assert 'id="shift"' in found.page.read_text()
    assert report.headline is not None and report.headline.n is not None
    assert 100 < report.headline.n < 200
    claims = (tmp_path / "run" / "findings.jsonl").read_text()
    assert '"shift"' in claims and "more_labels_2x" in claims
    again = from_json(json.loads(json.dumps(to_json(report))))
    assert again.shift is not None
    assert again.shift.weights == pytest.approx(report.shift.weights)
