from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from metier.api import evaluate, specialize
from metier.data.read import read
from metier.data.remembered import remember, rows_met, together
from metier.data.table import build_table
from metier.road.looks import count_again, count_look, learned_from
from metier.types import Finding, Roles
from tests.road.test_kinds import numbers


def test_looks_add_up_and_the_same_recipe_looks_once(tmp_path: Path) -> None:
    assert count_look(tmp_path, "rows", "recipe a") == 1
    assert count_look(tmp_path, "rows", "recipe a") == 1
    assert count_look(tmp_path, "rows", "recipe b") == 2
    assert count_again(tmp_path, "rows") == 3
    assert count_again(tmp_path, "rows") == 4


def test_other_rows_are_no_look(tmp_path: Path) -> None:
    assert count_again(tmp_path, "rows") is None
    count_look(tmp_path, None, "recipe a")
    assert count_again(tmp_path, "rows") is None


def told(found: list[Finding]) -> Finding:
    return next(each for each in found if each.name == "learned_from")


@pytest.mark.parametrize("target", ["bought", "weight"])
def test_rows_that_were_learned_from_are_known_again(tmp_path: Path, target: str) -> None:
    frame, other = numbers(), numbers(40, seed=1)
    run = {"target": target, "trials": 1, "strategies": ["linear"], "out": tmp_path / "run"}
    bundle = specialize(frame, **run).bundle
    found = told(evaluate(bundle, frame))
    assert (found.value, found.level, len(found.rows)) == (1.0, "problem", len(frame))
    assert f"all {len(frame)} rows are equal to rows that the specialist learned from" in (
        found.verdict
    )
    mixed = pl.concat([other, frame.head(1)])
    few = told(evaluate(tmp_path / "run", mixed))
    assert (few.rows, few.level) == ((40,), "warning")
    assert not learned_from(bundle, read(other))
    assert not learned_from(bundle, read(frame.drop("size")))
    shutil.rmtree(tmp_path / "run" / "weights")
    assert not learned_from(bundle, read(frame)), "a bundle alone tells nothing of any row"


def test_rows_kept_for_the_proof_are_not_called_learned_from(tmp_path: Path) -> None:
    frame = numbers(1200)
    run = {"target": "bought", "trials": 1, "strategies": ["linear"], "refit": "none"}
    result = specialize(frame, out=tmp_path / "run", **run)
    assert result.report.headline is not None
    proven = result.report.headline.n
    assert len(told(evaluate(result.bundle, frame)).rows) == len(frame) - (proven or 0)


def test_whole_numbers_are_the_same_in_a_file_with_gaps(tmp_path: Path) -> None:
    whole = pl.DataFrame({"n": [1, 2, 3], "s": ["a", "b", None]})
    table, _ = build_table(read(whole), Roles({"n": "number", "s": "category"}))
    gaps = pl.DataFrame({"n": [None, 2.0, 3.0], "s": ["a", "b", None]})
    assert rows_met(remember(table), read(gaps)).tolist() == [1, 2]
    assert rows_met({}, read(gaps)).tolist() == []


def test_a_text_is_known_again_without_the_cells_beside_it() -> None:
    frame = pl.DataFrame({"text": ["one thing", "another one"], "n": [1.0, 2.0]})
    table, _ = build_table(read(frame), Roles({"text": "text", "n": "number"}))
    assert rows_met(remember(table), read(frame.select("text"))).tolist() == [0, 1]


def test_what_two_learned_from_is_known_together() -> None:
    one = {"columns": {"n": "number"}, "rows": ["a", "c"]}
    other = {"columns": {"n": "number"}, "rows": ["b", "c"]}
    assert together(one, other) == {"columns": {"n": "number"}, "rows": ["a", "b", "c"]}
    assert together(one, {"columns": {"m": "number"}, "rows": ["b"]}) == one
    assert together({}, other) == other
