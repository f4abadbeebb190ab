from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.errors import ChainError
from metier.strategies.generalist import Generalist
from metier.tasks import build
from metier.training.feed import Feed
from metier.training.fewshot.labelnames import words_of
from metier.types import Problem, Run, Specialist, Table
from tests import tiny

Learn = Callable[..., Specialist]
Tables = Callable[..., Table]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("card_arrival", "lostCard"), ["card arrival", "lost card"]),
        (("Billing/Refund", "HTTP-Error"), ["billing refund", "http error"]),
        (("positive", "0"), []),
        (("a", "b"), []),
        (("3 stars", "5 stars"), ["3 stars", "5 stars"]),
        (("häufig", "störung"), ["häufig", "störung"]),
    ],
)
def test_labels_are_read_as_words(labels: tuple[str, ...], words: list[str]) -> None:
    assert words_of(labels) == words


def test_names_use_no_label_at_all(tiny_sources: dict[str, Any], learn: Learn) -> None:
    """The embedded meaning of the names decides: rows that are the names themselves get them."""
    source = tiny_sources["bert"]
    table = tiny.text_table(["card", "refund", "my help", "now"], target=["card", "refund"] * 2)
    specialist = learn(Generalist(), table, "binary", source)
    assert specialist.lineage[0].notes == {"by": "names"}
    assert specialist.scores(table.take([0, 1])).argmax(1).tolist() == [0, 1]
    turned = tiny.text_table(table.frame["text"].to_list(), target=["refund", "card"] * 2)
    again = learn(Generalist(), turned, "binary", source)
    np.testing.assert_allclose(again.scores(turned), specialist.scores(table), atol=1e-6)


@pytest.mark.parametrize("name", ["vit", "mobilenet", "bert"])
def test_means_answer_with_the_nearest_class(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 50)
    specialist = learn(Generalist(by="means"), table, "multiclass", source)
    column = "text" if name == "bert" else "image"
    preprocess = source.preprocess([column] if name == "bert" else column)
    features = Feed(source.load(), preprocess, table, Cache()).features().astype(np.float64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    truth = specialist.task.encode(table)
    centres = np.stack([unit[truth == k].mean(0) for k in range(3)])
    cosine = unit @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T
    found = specialist.scores(table) / np.linalg.norm(features, axis=1, keepdims=True) / 20.0
    np.testing.assert_allclose(found, cosine, atol=1e-4)


def test_images_have_means_and_no_names(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["vit"]
    specialist = learn(Generalist(), tiny_table(source, 20), "multiclass", source)
    assert specialist.lineage[0].notes == {"by": "means"}
    with pytest.raises(ChainError, match="names"):
        learn(Generalist(by="names"), tiny_table(source, 20), "multiclass", source)


@pytest.mark.parametrize("missing", [0, 2])
def test_a_class_without_rows_is_kept_and_never_answered(
    missing: int, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["vit"]
    table = tiny_table(source, 50)
    task = build("multiclass", table)
    there = table.take(np.flatnonzero(task.encode(table) != missing))
    start = Specialist(source, task)
    specialist = Generalist(by="means")(start, Problem(task, there), Run(Cache()))
    scores = specialist.scores(table)
    assert scores.shape == (50, 3) and (scores.argmax(1) != missing).all()


def test_several_labels(tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn) -> None:
    for name, by in (("bert", "names"), ("vit", "means")):
        source = tiny_sources[name]
        table = tiny_table(source, 40, "multilabel")
        specialist = learn(Generalist(), table, "multilabel", source)
        assert specialist.lineage[0].notes == {"by": by}
        scores = specialist.scores(table)
        assert scores.shape == (40, 2)
        # As many labels are given as there are.
        given = specialist.task.encode(table).mean()
        assert (scores > 0).mean() == pytest.approx(given, abs=1 / 40)


def test_a_number_has_no_generalist(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    with pytest.raises(ChainError, match="number"):
        learn(Generalist(), tiny_table(source, 20, "regression"), "regression", source)
