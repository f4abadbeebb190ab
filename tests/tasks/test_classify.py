"""Label names in, numbers out: nothing about a label may be lost or guessed silently."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.errors import DataError
from metier.tasks import build, known_rows
from metier.tasks.classify import Classify, Multilabel
from metier.types import Roles, Table, Task


def table(**columns: object) -> Table:
    names = tuple(columns)
    return Table(pl.DataFrame(columns, strict=False), Roles(inputs={}, target=names))


@given(st.lists(st.text(min_size=1), min_size=2).filter(lambda v: len(set(v)) > 1))
def test_every_label_comes_back_as_it_was_written(values: list[str]) -> None:
    rows = table(y=values)
    task = Classify.from_table(rows)
    assert [task.labels[i] for i in task.encode(rows)] == values


def test_labels_are_in_natural_order() -> None:
    task = Classify.from_table(table(y=["grade 10", "grade 2", "b", "grade 1"]))
    assert task.labels == ("b", "grade 1", "grade 2", "grade 10")
    assert task.kind == "multiclass"


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (["no", "yes", "yes"], "yes"),
        (["Positive", "Negative", "Negative"], "Positive"),
        ([0, 1, 1, 1], "1"),
        ([1, -1, 1, 1], "1"),
        ([True, False, True, True], "true"),
        (["malignant", "benign", "malignant", "malignant"], "malignant"),
        (["aaa", *["bbb"] * 9], "aaa"),
        (["aaa", "bbb"], "bbb"),
        ([1, 1, 1, 2], "2"),
        ([1, 2, 2, 2], "2"),
    ],
)
def test_which_of_two_is_positive(values: list[object], positive: str) -> None:
    task = Classify.from_table(table(y=values))
    assert task.kind == "binary"
    assert task.labels[1] == positive


def test_an_unknown_label_names_row_and_label() -> None:
    task = Classify.from_table(table(y=["cat", "dog"]))
    with pytest.raises(DataError, match=r"column 'y', row 2 .*'dig'.*did you mean 'dog'"):
        task.encode(table(y=["cat", "dog", "dig"]))
    with pytest.raises(DataError, match=r"row 1 .*missing"):
        task.encode(table(y=["cat", None]))


def test_rows_with_unknown_labels_can_be_left_out() -> None:
    task = Classify.from_table(table(y=["cat", "dog"]))
    rows = table(y=["dog", "emu", None, "cat"])
    assert known_rows(task, rows).tolist() == [0, 3]
    assert task.encode(rows.take(known_rows(task, rows))).tolist() == [1, 0]


def test_the_same_number_written_another_way_is_the_same_label() -> None:
    task = Classify.from_table(table(y=[0, 1, 2]))
    assert task.encode(table(y=[2.0, 0.0, 1.0])).tolist() == [2, 0, 1]


def test_numbers_that_differ_only_in_spelling_stay_different_labels() -> None:
    task = Classify.from_table(table(y=["007", "7", "8"]))
    assert len(task.labels) == 3
    assert task.encode(table(y=["7", "007"])).tolist() == [
        task.labels.index("7"),
        task.labels.index("007"),
    ]
    assert known_rows(task, table(y=["7.0", "8.0"])).tolist() == [1]


def test_one_class_only_is_refused() -> None:
    with pytest.raises(DataError, match="one class only \\('a'\\)"):
        Classify.from_table(table(y=["a", "a"]))
    with pytest.raises(DataError, match="no label at all"):
        Classify.from_table(table(y=[None, None]))


def test_the_deciding_metric() -> None:
    assert Classify.from_table(table(y=["a", "b"] * 5)).metrics[0] == "accuracy"
    assert Classify.from_table(table(y=["a"] * 9 + ["b"])).metrics[0] == "balanced_accuracy"
    given_one = Classify.from_table(table(y=["a", "b"]), "mcc").metrics
    assert given_one[0] == "mcc"
    assert given_one.count("mcc") == 1


def test_multilabel_from_a_column_of_lists() -> None:
    rows = table(y=[["b", "a"], [], ["c10", "c9"]])
    task = Multilabel.from_table(rows)
    assert task.labels == ("a", "b", "c9", "c10")
    assert task.encode(rows).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]
    assert task.encode(rows).dtype == np.float32
    with pytest.raises(DataError, match="unknown label 'z'"):
        task.encode(table(y=[["a"], ["z"]]))
    assert known_rows(task, table(y=[["a"], ["z"], None, []])).tolist() == [0, 3]


def test_multilabel_from_several_columns() -> None:
    rows = table(toxic=[1, 0, 1], rude=[True, False, False])
    task = build("multilabel", rows, None)
    assert task.labels == ("toxic", "rude")
    assert task.encode(rows).tolist() == [[1, 1], [0, 0], [1, 0]]
    bad = table(toxic=[1, 2, None], rude=[0, 0, 1])
    assert known_rows(task, bad).tolist() == [0]
    with pytest.raises(DataError, match=r"column 'toxic', row 1 .*'2'"):
        task.encode(bad)


def test_the_wrong_shape_of_target_names_the_mend() -> None:
    with pytest.raises(DataError, match="--task multilabel"):
        Classify.from_table(table(y=[["a"], ["b"]]))
    with pytest.raises(DataError, match="--task multiclass"):
        Multilabel.from_table(table(y=["a", "b"]))
    with pytest.raises(DataError, match="has 3"):
        build("binary", table(y=["a", "b", "c"]), None)


def test_losses_agree_with_their_formulas() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    scores = random.normal(size=(6, 3)).astype(np.float32)
    classes = random.integers(0, 3, 6)
    log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = -log_probabilities[np.arange(6), classes].mean()
    task = Classify(("a", "b", "c"))
    loss = task.loss(torch.from_numpy(scores), torch.from_numpy(classes))
    assert float(loss) == pytest.approx(expected, rel=1e-5)

    flags = (random.random((6, 3)) < 0.5).astype(np.float32)
    probabilities = 1 / (1 + np.exp(-scores))
    terms = -(2 * flags * np.log(probabilities) + (1 - flags) * np.log(1 - probabilities))
    many = Multilabel(("a", "b", "c"))
    weighted = many.loss(
        torch.from_numpy(scores), torch.from_numpy(flags), weights=torch.full((3,), 2.0)
    )
    assert float(weighted) == pytest.approx(terms.mean(), rel=1e-5)


def test_tasks_keep_the_protocol() -> None:
    assert isinstance(Classify(("a", "b")), Task)
    assert isinstance(Multilabel(("a", "b")), Task)
