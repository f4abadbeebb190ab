from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from metier.tasks import build
from metier.training.fewshot.labelnames import with_names, words_of
from metier.types import Kind, Roles, Table


def table(labels: list[object], **columns: list[object]) -> Table:
    texts = [f"text {i}" for i in range(len(labels))]
    frame = pl.DataFrame({"text": texts, "answer": labels, **columns})
    weight = "weight" if "weight" in columns else None
    return Table(frame, Roles({"text": "text"}, ("answer",), weight=weight))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("card_arrival", "lostCard"), ["card arrival", "lost card"]),
        (("positive", "0"), []),
        (("häufig", "störung"), ["häufig", "störung"]),
    ],
)
def test_labels_are_read_as_words(labels: tuple[str, ...], words: list[str]) -> None:
    assert words_of(labels) == words


def test_names_are_the_last_rows_one_a_class() -> None:
    rows = table(["lost_card", "refund", "refund"], weight=[2.0, 0.5, 0.5])
    task = build("binary", rows)
    named = with_names(rows, task)
    assert named is not None and len(rows) == 3
    assert named.frame["text"].to_list()[3:] == words_of(task.labels)
    assert task.encode(named).tolist()[3:] == [0, 1]
    assert sorted(words_of(task.labels)) == ["lost card", "refund"]
    assert named.weights is not None and named.weights.tolist() == [2.0, 0.5, 0.5, 1.0, 1.0]


def test_codes_and_numbers_say_nothing() -> None:
    for labels in (["0", "1", "1"], [0, 1, 1], ["a", "b", "b"]):
        rows = table(list(labels))
        assert with_names(rows, build("binary", rows)) is None


def test_a_name_has_no_picture() -> None:
    rows = table(["lost_card", "refund", "refund"], picture=["a.png", "b.png", "c.png"])
    inputs: dict[str, Kind] = {"text": "text", "picture": "image"}
    both = replace(rows, roles=replace(rows.roles, inputs=inputs))
    assert with_names(both, build("binary", both)) is None
    assert with_names(rows, build("binary", rows)) is not None
