"""Labelled rows and rows that were answered, in one table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.tasks import build
from metier.training.folds import MADE, inner_folds
from metier.training.heads import bound_folds
from metier.training.start import preprocess_of
from metier.training.unlabelled.joined import joined
from metier.types import Roles, Table


def rows(n: int, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"x": np.arange(n, dtype=float), "c": ["a", "b"] * (n // 2), **columns})


def test_numbers_as_labels_stay_what_they_are() -> None:
    table = Table(rows(6, y=[0, 1, 0, 1, 0, 1]), Roles({"x": "number", "c": "category"}, ("y",)))
    task = build("binary", table)
    others = Table(rows(4), Roles({"x": "number", "c": "category"}))
    made = joined(table, others, np.array([1, 0, 1, 1]), task, np.full(4, 0.5))
    assert task.encode(made).tolist() == [0, 1, 0, 1, 0, 1, 1, 0, 1, 1]
    assert made.weights is not None and len(made) == 10
    assert made.weights[0] == pytest.approx(2 * made.weights[-1])
    assert (made.digests[:6] == table.digests).all()


@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        (pl.Int64, [0.5, 1.515625, 2.78125, 40.296875]),
        (pl.UInt8, [300, -1]),
        (pl.UInt8, [float("nan"), None, 2.5]),
        (pl.Float64, [3, 4]),
    ],
)
def test_numbers_of_both_files_stay_what_they_are(dtype: Any, given: list[Any]) -> None:
    own = pl.DataFrame({"x": pl.Series(range(6), dtype=dtype), "y": ["u", "v"] * 3})
    table = Table(own, Roles({"x": "number"}, ("y",)))
    others = Table(pl.DataFrame({"x": given}), Roles({"x": "number"}))
    answers = np.zeros(len(given), np.int64)
    made = joined(table, others, answers, build("binary", table), np.ones(len(given)))
    found = made.frame["x"].cast(pl.Float64)
    assert found[:6].to_list() == [0, 1, 2, 3, 4, 5]
    assert found[6:].equals(others.frame["x"].cast(pl.Float64), check_names=False)


@pytest.mark.parametrize("lists", [True, False])
def test_several_labels(lists: bool) -> None:
    roles: dict[str, Any] = {"x": "number", "c": "category"}
    if lists:
        table = Table(rows(2, y=[["p"], ["p", "q"]]), Roles(roles, ("y",)))
    else:
        table = Table(rows(2, p=[1, 1], q=[0, 1]), Roles(roles, ("p", "q")))
    task = build("multilabel", table)
    answers = np.array([[0, 1], [0, 0]], dtype=np.float32)
    made = joined(table, Table(rows(2), Roles(roles)), answers, task, np.ones(2))
    assert task.encode(made).tolist() == [[1, 0], [1, 1], [0, 1], [0, 0]]


def test_groups_and_weights_are_kept_and_answered_rows_stand_alone() -> None:
    frame = rows(4, y=["u", "v", "u", "v"], g=[7, 7, 8, 8], w=[1.0, 3.0, 1.0, 3.0])
    table = Table(frame, Roles({"x": "number"}, ("y",), group="g", weight="w"))
    others = Table(rows(2), Roles({"x": "number"}))
    made = joined(table, others, np.array([0, 1]), build("binary", table), np.ones(2))
    assert made.frame["g"].n_unique() == 4
    assert made.weights is not None
    assert made.weights[1] == pytest.approx(3 * made.weights[0])
    assert made.weights[4] == pytest.approx(made.weights[:4].mean())


def test_answered_rows_judge_nothing() -> None:
    table = Table(rows(40, y=["u", "v"] * 20), Roles({"x": "number", "c": "category"}, ("y",)))
    task = build("binary", table)
    others = Table(rows(60), Roles(table.roles.inputs))
    made = joined(table, others, np.zeros(60, np.int64), task, np.ones(60))
    targets = task.encode(made)
    folds = bound_folds(made, targets, 0)
    for found in (inner_folds(made, targets, 3, 0), folds or []):
        assert len(found) >= 3 and all((judge < 40).all() for _, judge in found)
        assert any((fit >= 40).any() for fit, _ in found)
    assert bound_folds(table, task.encode(table), 0) is None
    more = joined(made, others, np.zeros(60, np.int64), task, np.ones(60))
    assert more.frame[MADE].to_list() == [False] * 40 + [True] * 120


def test_pictures_of_two_folders_are_found(tiny_sources: Any, tiny_table: Any) -> None:
    source = tiny_sources["vit"]
    table, others = tiny_table(source, 8, "binary"), tiny_table(source, 6, "binary", seed=1)
    plain = replace(others, frame=others.frame.select("image"), roles=Roles({"image": "image"}))
    made = joined(table, plain, np.zeros(6, np.int64), build("binary", table), np.ones(6))
    read = preprocess_of(source, made).encode(made.columns())
    assert not read.reasons and len(read.examples) == 14
