from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from metier.errors import ChainError
from metier.strategies.majority import Majority, Mean
from metier.types import Floats, Roles, Specialist, Table

Learn = Callable[..., Specialist]
ByGraph = Callable[[Specialist, Table], Floats]
Awkward = Callable[[str], Table]


def labelled(labels: list[str]) -> Table:
    frame = pl.DataFrame({"text": [f"row {i}" for i in range(len(labels))], "label": labels})
    return Table(frame, Roles({"text": "text"}, ("label",)))


def test_scores_are_log_frequencies_with_one_row_more_of_each(learn: Learn) -> None:
    table = labelled(["a"] * 6 + ["b"] * 3 + ["c"])
    specialist = learn(Majority(), table, "multiclass")
    expected = np.log(np.array([7, 4, 2]) / 13)
    np.testing.assert_allclose(specialist.scores(table), np.tile(expected, (10, 1)), rtol=1e-6)
    assert specialist.form == "linear" and specialist.lineage[0].strategy == "majority"


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_graph_needs_the_rows_only_for_their_number(
    kind: str, awkward: Awkward, strange: Table, learn: Learn, by_graph: ByGraph
) -> None:
    specialist = learn(Majority(), awkward(kind), kind)
    for rows in (1, 7, 60):
        part = strange.take(range(rows))
        found = by_graph(specialist, part)
        assert found.shape == (rows, specialist.task.outputs)
        assert (found == specialist.scores(part)).all()


def test_labels_get_their_log_odds(awkward: Awkward, learn: Learn) -> None:
    table = awkward("multilabel")
    specialist = learn(Majority(), table, "multilabel")
    share = (specialist.task.encode(table).sum(axis=0) + 1) / (len(table) + 2)
    found = 1 / (1 + np.exp(-specialist.scores(table)[0]))
    np.testing.assert_allclose(found, share, rtol=1e-5)


def test_text_without_numbers_is_enough(learn: Learn, by_graph: ByGraph) -> None:
    table = labelled(["a", "a", "b"])
    specialist = learn(Majority(), table, "binary")
    assert by_graph(specialist, table).argmax(axis=1).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("metric", "expected"), [("rmse", 22.0), ("mae", 3.0)])
def test_a_number_is_the_mean_or_the_median(
    metric: str, expected: float, learn: Learn, by_graph: ByGraph
) -> None:
    frame = pl.DataFrame({"x": [1, 2, 3, 4, 5], "y": [1.0, 2.0, 3.0, 4.0, 100.0]})
    table = Table(frame, Roles({"x": "number"}, ("y",)))
    specialist = learn(Mean(), table, "regression", metric=metric)
    np.testing.assert_allclose(by_graph(specialist, table), np.full((5, 1), expected))


def test_each_refuses_what_is_the_other_ones(awkward: Awkward, learn: Learn) -> None:
    with pytest.raises(ChainError, match="use mean"):
        learn(Majority(), awkward("regression"), "regression")
    with pytest.raises(ChainError, match="use majority"):
        learn(Mean(), awkward("binary"), "binary")
