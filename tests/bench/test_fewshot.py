from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench import fewshot, records, scarce, sets
from bench.sets import Rows
from metier.errors import DataError

LABELS = ["a"] * 6 + ["b"] * 9 + ["c"] * 4


def rows(labels: list[str] | None = None) -> Rows:
    train = pl.DataFrame({"label": labels or LABELS})
    train = train.with_columns(text=pl.Series([f"row {i}" for i in range(train.height)]))
    test = pl.DataFrame({"text": [f"test {i}" for i in range(30)], "label": ["a", "b", "c"] * 10})
    return Rows(sets.SETS["banking77"], train, test)


def test_a_seed_draws_as_many_rows_of_each_class_and_the_test_rows_stay() -> None:
    one, two, other = (fewshot.draw(rows(), 3, seed) for seed in (0, 0, 1))
    assert one.train.equals(two.train) and not one.train.equals(other.train)
    assert one.train["label"].value_counts()["count"].to_list() == [3, 3, 3]
    assert one.test.equals(other.test)


def test_a_class_with_fewer_rows_than_shots_is_named() -> None:
    with pytest.raises(DataError, match="'c' has 4 rows, and 5 were asked for"):
        fewshot.draw(rows(), 5, 0)


def test_few_seeds_come_first_and_some_shots_have_fewer() -> None:
    found = fewshot.cells(["banking77"], [2, 16], ["probe"], None)
    assert [c.seed for c in found] == sorted(c.seed for c in found)
    assert sum(c.shots == 2 for c in found) == 10 and sum(c.shots == 16 for c in found) == 3


def enter(folder: Path, name: str, draws: int) -> None:
    """Write down draws in which `contrast` mends half of what SetFit has wrong."""
    random = np.random.default_rng(0)
    truth = np.array(["a", "b"] * 100)
    for seed in range(draws):
        right = random.random(200) < 0.6
        better = right | (random.random(200) < 0.5)
        for method, hit, seconds in (("setfit", right, 100.0), ("contrast", better, 20.0)):
            key = {"set": name, "method": method, "seed": seed, "limit": None}
            answers = np.where(hit, truth, np.where(truth == "a", "b", "a"))
            path = records.predictions_path(fewshot.kept_as(key), folder)
            records.write_predictions(path, truth, answers, ["a", "b"])
            cell = {**key, "score": float(hit.mean()), "n": 200, "seconds": seconds}
            records.append(fewshot.CLAIM, cell, 1, folder)


def test_gains_are_paired_by_draw_and_row(tmp_path: Path) -> None:
    enter(tmp_path, "banking77-2", 3)
    told = "\n".join(scarce.fewshots(tmp_path))
    assert "took 20 % of the time of SetFit" in told
    found = records.read(fewshot.CLAIM, tmp_path)
    gain = scarce._gain(tmp_path, found, "banking77-2", "contrast", "setfit")
    assert gain is not None and gain.draws == 3
    assert 10 < gain.low < gain.points < gain.high < 30
    assert scarce.fewshots(tmp_path / "nothing") == []


def test_the_mean_is_over_settings_however_many_draws_each_has(tmp_path: Path) -> None:
    names = ["banking77-2", "banking77-4", "banking77-8"]
    for draws, name in zip((3, 1, 2), names, strict=True):
        enter(tmp_path, name, draws)
    found = records.read(fewshot.CLAIM, tmp_path)
    each = [scarce._gain(tmp_path, found, name, "contrast", "setfit") for name in names]
    mean = scarce._mean(tmp_path, found, names, "contrast", "setfit")
    assert mean is not None and mean.draws == 6
    assert each[1] is not None and each[1].low is None
    assert mean.points == pytest.approx(np.mean([gain.points for gain in each if gain]))
    assert mean.low is not None and mean.high is not None and mean.low < mean.points < mean.high
    alone = scarce._mean(tmp_path, found, names[:1], "contrast", "setfit")
    assert alone is not None and alone.low is None
