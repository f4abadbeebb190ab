"""A sum of curves: what it says, what its graph says, and what can be read back from both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from metier.deploy.additive import FILE, Additive, Term, edges_below, read_terms, restore
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.scoring import open_session

NUMBERS = Numbers(
    (
        ColumnSpec("size", "number", "raw"),
        ColumnSpec("colour", "category", "code", vocabulary=("red", "blue", "green")),
        ColumnSpec("empty", "number", "raw"),
    )
)
ROWS: dict[str, Any] = {
    "size": [-5.0, 0.0, 0.1, 1.0, 1e30, -1e30, None, 0.5, 0.1],
    "colour": ["red", "blue", "green", None, "unseen", "red", "blue", "green", "red"],
    "empty": [None, 1.0, None, -2.0, None, 0.0, None, None, 7.0],
}


def term(features: tuple[int, ...], edges: tuple[Any, ...], seed: int, outputs: int) -> Term:
    rng = np.random.default_rng(seed)
    bins = [len(each) + 2 for each in edges]
    scores = rng.normal(size=(*bins, outputs))
    each = tuple(np.asarray(edge, dtype=np.float32) for edge in edges)
    return Term(features, each, scores, np.abs(scores) / 10, float(np.abs(scores).mean()))


def model(outputs: int) -> Additive:
    sizes, codes = edges_below(np.array([0.0, 0.1, 0.5])), np.array([-0.5, 0.5, 1.5])
    terms = (
        term((0,), (sizes,), 0, outputs),
        term((1,), (codes,), 1, outputs),
        term((2,), (np.array([]),), 2, outputs),
        term((0, 1), (sizes[:2], codes), 3, outputs),
    )
    return Additive(NUMBERS, terms, tuple(np.arange(outputs, dtype=float)))


def graph_scores(made: Additive) -> Any:
    onnx.checker.check_model(made.graph())
    session = open_session(made.graph().SerializeToString())
    return session.run(["scores"], {"numbers": NUMBERS.matrix(ROWS)})[0]


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_the_graph_says_what_the_terms_say(outputs: int) -> None:
    made = model(outputs)
    found = made.contributions(NUMBERS.matrix(ROWS)).sum(axis=1) + np.arange(outputs)
    np.testing.assert_allclose(graph_scores(made), found, atol=1e-5)


def test_a_value_at_a_cut_belongs_to_the_bin_above_it() -> None:
    cuts = np.array([0.1, 0.5, 3.0])
    made = Term((0,), (edges_below(cuts),), np.zeros((5, 1)), np.zeros((5, 1)), 0.0)
    values = np.array([[0.1], [0.0999], [0.5], [2.9999], [3.0], [np.nan], [1e38]], np.float32)
    (bins,) = made.bins(values)
    # 0.1 in single precision lies above 0.1 in double, 0.5 and 3 are the same in both.
    assert bins.tolist() == [2, 1, 3, 3, 4, 0, 4]
    known = 1 + np.searchsorted(cuts, values[:5, 0].astype(np.float64), side="right")
    assert bins[:5].tolist() == known.tolist()


def test_missing_and_unseen_have_bins_of_their_own() -> None:
    made = model(1)
    colours = made.terms[1]
    numbers = NUMBERS.matrix(ROWS)
    (bins,) = colours.bins(numbers)
    assert bins.tolist() == [2, 3, 4, 1, 1, 2, 3, 4, 2]
    assert made.terms[0].bins(numbers)[0][6] == 0, "no size is missing"


def test_written_and_read_it_says_the_same(tmp_path: Path) -> None:
    made = model(2)
    made.save(tmp_path)
    about = json.loads((tmp_path / FILE).read_text())
    again = restore(NUMBERS, about)
    numbers = NUMBERS.matrix(ROWS)
    np.testing.assert_allclose(again.contributions(numbers), made.contributions(numbers), rtol=1e-8)
    for one, other in zip(made.terms, again.terms, strict=True):
        assert all((a == b).all() for a, b in zip(one.edges, other.edges, strict=True))


def test_an_open_graph_knows_its_curves_and_that_of_another_model_has_none() -> None:
    made = model(2)
    found = read_terms(open_session(made.graph().SerializeToString()), NUMBERS)
    assert found is not None and len(found.terms) == 4
    np.testing.assert_allclose(found.terms[3].scores, made.terms[3].scores, rtol=1e-8)
    bare = made.graph()
    del bare.metadata_props[:]
    assert read_terms(open_session(bare.SerializeToString()), NUMBERS) is None
