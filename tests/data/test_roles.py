"""Roles and tasks are inferred from names and values."""

import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.data.dates import parse_dates
from metier.data.labels import infer_task, label_parts
from metier.data.read import read
from metier.data.roles import infer_part, infer_roles
from metier.data.table import build_table, row_numbers
from metier.errors import DataError, OptionError
from metier.types import Roles

N = 60


def columns(**more):
    chance = np.random.default_rng(0)
    return {
        "PassengerId": list(range(N)),
        "key": [f"{i:08x}-0000-4000-8000-{i:012x}" for i in range(N)],
        "age": chance.integers(18, 80, N).tolist(),
        "city": [["Rome", "Oslo", "Bern"][i % 3] for i in range(N)],
        "joined": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)],
        "review": [f"this is what number {i} had to say about it" for i in range(N)],
        "patient_id": [i // 3 for i in range(N)],
        "same": ["x"] * N,
        "label": [["good", "bad"][i % 2] for i in range(N)],
        **more,
    }


def test_every_kind_is_found():
    roles = infer_roles(read(columns()), target=None, group="patient_id", time="joined")
    assert roles.inputs == {"age": "number", "city": "category", "joined": "date", "review": "text"}
    assert roles.ids == ("PassengerId", "key")
    assert roles.ignored == ("same",)
    assert roles.target == ("label",)
    assert (roles.group, roles.time) == ("patient_id", "joined")


@pytest.mark.parametrize(
    ("cells", "part"),
    [
        ([*map(str, range(99)), "unknown"], "number"),
        ([*(f"{i}.5" for i in range(99)), "12a"], "number"),
        ([*(str(18 + i % 60) for i in range(297)), "?", "not told", "NA"], "number"),
        ([*(str(250 + i % 60) for i in range(290)), *["V57"] * 10], "category"),
        ([f"{i:05}" for i in range(99)], "id"),
        ([*(str(i % 5) for i in range(99)), "unknown"], "category"),
        ([*(f"PC {i}" for i in range(20)), *map(str, range(80))], "id"),
        ([f"ab{i}" for i in range(100)], "id"),
    ],
)
def test_numbers_with_odd_cells_among_them(cells, part):
    assert infer_part(pl.Series("c", cells)) == part


def test_odd_cells_among_numbers_are_missing_and_told():
    cells = [*map(str, range(99)), " 7 ", "not told", "NA"]
    raw = read(pl.DataFrame({"x": cells, "label": ["a", "b"] * 51}))
    table, findings = build_table(raw, infer_roles(raw, target="label"))
    assert table.frame["x"].to_list() == [*map(float, range(99)), 7.0, None, None]
    (told,) = findings
    assert told.rows == (100,) and told.details["examples"] == ["not told"]
    assert "but for 1 cell, which counts as missing (first in row 100)" in told.verdict
    assert told.level == "warning"


REVIEWS = "这家餐厅的菜非常好吃服务也很周到下次还会再来但是价格有点贵环境一般停车不方便"


def test_texts_in_a_script_without_spaces_are_texts():
    rows = [REVIEWS[i % 20 : i % 20 + 12] + REVIEWS[i // 20 : i // 20 + 5] for i in range(200)]
    assert infer_part(pl.Series("c", rows)) == "text"
    assert infer_part(pl.Series("c", ["สวัสดีครับ" + row for row in REVIEWS])) == "text"
    names = [a + b for a in REVIEWS[:8] for b in REVIEWS[8:12]]
    assert infer_part(pl.Series("c", names)) == "category"
    cities = ["北京", "上海", "广州市"] * 20
    assert infer_part(pl.Series("c", cities)) == "category"


def test_kinds_can_be_given():
    given = {"age": "category", "same": "text", "patient_id": "number"}
    raw = read(columns())
    roles = infer_roles(raw, target="label", group="patient_id", given=given)
    assert {name: roles.inputs[name] for name in given} == given
    table, _ = build_table(raw, roles)
    assert table.frame["age"].dtype == pl.String


def test_names_that_are_not_there_are_refused_with_the_near_ones():
    raw = read(columns())
    with pytest.raises(DataError, match="did you mean 'label'"):
        infer_roles(raw, target="lable")
    with pytest.raises(DataError, match="group"):
        infer_roles(raw, target="label", group="nobody")
    with pytest.raises(DataError, match="name it with --target"):
        infer_roles(read({"a": [1, 2], "b": [2, 1]}), target=None)
    with pytest.raises(DataError, match="nothing to predict"):
        infer_roles(read({"id": [1, 2, 3], "label": ["a", "b", "a"]}), target=None)


@settings(max_examples=100, deadline=None)
@given(
    days=st.lists(st.dates(datetime.date(1930, 1, 1), datetime.date(2099, 1, 1)), min_size=1),
    format=st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S", "%d %b %Y"]),
)
def test_dates_come_back(days, format):
    parsed = parse_dates(pl.Series([day.strftime(format) for day in days]))
    assert parsed is not None
    assert parsed.moments.dt.date().to_list() == days


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.none() | st.text(max_size=20), min_size=1, max_size=30)
    | st.lists(st.none() | st.integers(-(2**60), 2**60), min_size=1, max_size=30)
    | st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=30)
)
def test_any_column_has_one_part_whatever_the_order_of_rows(values):
    column = pl.Series("c", values)
    part = infer_part(column)
    assert part in ("text", "number", "category", "date", "image", "id", "ignored")
    assert infer_part(column.reverse()) == part


def built(target, *, task=None, **more):
    raw = read({"x": [float(i) for i in range(len(target))], "label": target, **more})
    return build_table(raw, infer_roles(raw, target="label"), task)


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (["a", "b"] * 9, "binary"),
        ([0, 1] * 9, "binary"),
        ([-1.5, 2.0] * 9, "binary"),
        (["1", "2", "x"] * 9, "multiclass"),
        ([f"{code:03}" for code in range(30)] * 3, "multiclass"),
        ([str(code) for code in range(30)] * 3, "multiclass"),
        ([True, False] * 9, "binary"),
        (list(range(10)) * 9, "multiclass"),
        ([1, 2, 3] * 9, "multiclass"),
        ([3, 4, 5, 6, 7, 8, 9] * 9, "regression"),
        ([0, 1, 5, 90] * 9, "regression"),
        ([i * 0.37 for i in range(50)], "regression"),
        (list(range(200)), "regression"),
        ([["a"], ["a", "b"], []] * 9, "multilabel"),
        (["a|b", "a", "b|c", "c"] * 9, "multilabel"),
        (["red; big", "big", "red"] * 9, "multilabel"),
        (["either|or", "neither"] * 9, "binary"),
    ],
)
def test_the_task_is_inferred(target, task):
    table, _ = built(target)
    assert infer_task(table) == task


def test_several_columns_of_yes_and_no_are_multilabel():
    raw = read({"x": [1.0, 2.0, 3.0], "a": [1, 0, 1], "b": [0, 0, 1]})
    table, _ = build_table(raw, infer_roles(raw, target=["a", "b"]))
    assert infer_task(table) == "multilabel"
    raw = read({"x": [1.0, 2.0, 3.0], "a": [1, 0, 2], "b": [0, 0, 1]})
    table, _ = build_table(raw, infer_roles(raw, target=["a", "b"]))
    with pytest.raises(DataError, match="more than 0 and 1"):
        infer_task(table)


@pytest.mark.parametrize(
    ("target", "given", "told"),
    [
        (["a"] * 9, None, "one class only"),
        (["a", "b"] * 5, "regression", "not a number"),
        ([str(i) for i in range(40)] + ["oops"], None, "differs in every row|but for 1 rows"),
        ([f"t{i}" for i in range(9)], None, "differs in every row"),
        ([7.0] * 9, "regression", "in every row"),
        (["a", "b", "c"] * 5, "binary", "3 classes"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(target, given, told):
    table, _ = built(target, task=given)
    with pytest.raises(DataError, match=told):
        infer_task(table, given)


@pytest.mark.parametrize("nested", [[[1, 2]], [{"k": 1}], [[None], [1, 2]]])
def test_targets_of_nested_lists_are_refused_in_one_line(nested):
    rows = pl.DataFrame({"x": range(20), "boxes": [nested, nested[:1]] * 10})
    with pytest.raises(DataError, match="target 'boxes' holds lists of lists or of objects: give"):
        build_table(read(rows), Roles({"x": "number"}, ("boxes",)))


def test_a_target_that_is_given_twice_is_refused_in_one_line():
    raw = read({"x": [1, 2, 3], "y": [0, 1, 1], "z": [0, 0, 1]})
    assert infer_roles(raw, target=["y", "z"]).target == ("y", "z")
    with pytest.raises(DataError, match="column 'y' is given twice as the target: name it once"):
        infer_roles(raw, target=["y", "z", "y"])


@pytest.mark.parametrize("cells", [[[1], [2], [1]], [{"k": 1}, {"k": 2}, {"k": 1}]])
def test_lists_and_objects_tell_no_groups(cells):
    raw = read(pl.DataFrame({"x": [1, 2, 3], "y": [0, 1, 1], "z": [0, 0, 1], "cells": cells}))
    told = "column 'cells' holds lists or objects, so it cannot be a {} column: give one value"
    for role in ("group", "time", "domain"):
        with pytest.raises(DataError, match=told.format(role)):
            infer_roles(raw, target="y", **{role: "cells"})
    with pytest.raises(DataError, match=told.format("target")):
        infer_roles(raw, target=["y", "cells"])


def test_an_unknown_task_is_refused():
    with pytest.raises(OptionError, match="did you mean 'regression'"):
        infer_task(built(["a", "b"] * 5)[0], "regresion")


def test_rows_without_a_target_are_left_out_and_named():
    table, findings = built(["a", None, "b", "a", None])
    assert row_numbers(table).tolist() == [0, 2, 3]
    assert [f.rows for f in findings if f.name == "missing target"] == [(1, 4)]
    with pytest.raises(DataError, match="missing in every row"):
        built([None, None])
    table, _ = built([0.0, 1.0, None])
    assert table.frame["label"].to_list() == [0, 1]


def test_joined_labels_become_lists():
    table, _ = built(["a|b", "a", "b | c|b", "c"] * 9)
    assert table.frame["label"].to_list()[:4] == [["a", "b"], ["a"], ["b", "c"], ["c"]]
    table, _ = built(["a|b", "a", "b|c", "c"] * 9, task="multiclass")
    assert table.frame["label"].to_list()[:2] == ["a|b", "a"]
    table, _ = built(["only", "one"], task="multilabel")
    assert table.frame["label"].to_list() == [["only"], ["one"]]


def test_class_names_that_hold_a_separator_are_left_whole():
    assert label_parts(pl.Series(["age|young", "age|old", "sex|f"] * 9)) is None
    assert label_parts(pl.Series(["a", "b"] * 9)) is None


def test_images_that_do_not_open_are_left_out_and_named(tmp_path):
    from PIL import Image

    for name in ("1", "2", "3"):
        path = tmp_path / ("cat" if name != "3" else "dog") / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (int(name) * 50, 0, 0)).save(path)
    (tmp_path / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff not really")
    raw = read(tmp_path)
    table, findings = build_table(raw, infer_roles(raw, target=None))
    assert table.frame["image"].to_list() == ["cat/1.png", "cat/2.png", "dog/3.png"]
    (finding,) = [f for f in findings if f.name == "unreadable images"]
    assert [raw.frame["image"][row] for row in finding.rows] == ["cat/broken.jpg"]


def test_image_paths_that_lead_nowhere_are_refused():
    raw = read({"file": ["no/1.png", "no/2.png"], "label": ["a", "b"]})
    with pytest.raises(DataError, match="none is there"):
        infer_roles(raw, target=None)
