"""Quantising what was trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metier
from metier.cache import Cache
from metier.deploy.bundle import write_bundle
from metier.deploy.finished import Finished
from metier.errors import ChainError, Pruned
from metier.runtime.postprocess import Decision
from metier.strategies.chain import Chain
from metier.strategies.finetune import Finetune
from metier.strategies.probe import Probe
from metier.strategies.quantize import Quantize
from metier.tasks import build
from metier.types import Problem, Run, Specialist, Table

Tables = Callable[..., Table]
CASES = [
    ("bert", "dynamic"),
    ("bert", "static"),
    ("bert", "weights"),
    ("bert", "none"),
    ("long", "dynamic"),
    ("roberta", "weights"),
    ("vit", "dynamic"),
    ("vit", "static"),
    ("mobilenet", "static"),
    ("mobilenet", "weights"),
]


def trained(source: Any, table: Table) -> tuple[Specialist, Problem]:
    task = build("multiclass", table)
    problem = Problem(task, table)
    return Probe()(Specialist(source, task), problem, Run(Cache())), problem


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_quantised_graph_follows_what_it_was_made_from(
    name: str, mode: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 60, "multiclass")
    start, problem = trained(source, table)
    made = Quantize(mode=mode)(start, problem, Run(Cache()))
    assert isinstance(made.model, Finished) and made.form == "graph"
    wanted, found = start.scores(table), made.scores(table)
    assert found.shape == wanted.shape
    # Random convolutions pass rounding on many times over.
    share = 0.9 if name == "mobilenet" else 0.15
    assert np.sqrt(np.mean((found - wanted) ** 2)) < share * wanted.std()
    notes = made.lineage[-1].notes
    assert (
        (found != wanted).any()
        and notes["mode"] == mode
        and 0 < notes["bytes"] != notes["bytes_before"]
    )
    assert made.model.parameters == start.model.parameters  # type: ignore[union-attr]


def test_finetune_then_quantize_becomes_a_bundle(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 60, "multiclass")
    task = build("multiclass", table)
    chain = Chain((Finetune(train="top", epochs=1.0), Quantize()))
    made = chain(Specialist(source, task), Problem(task, table), Run(Cache()))
    decision = Decision("multiclass", task.labels)
    write_bundle(
        made, tmp_path / "specialist", decision=decision, sample=table, card="# card", facts={}
    )
    bundle = metier.load(tmp_path)
    assert [step["strategy"] for step in bundle.manifest.lineage] == ["finetune", "quantize"]
    assert bundle.manifest.parity["largest_score_difference"] == 0.0
    np.testing.assert_array_equal(bundle.scores(table.columns()), made.scores(table))
    assert (tmp_path / "weights" / "head.safetensors").exists()


def test_joining_alone_rounds_nothing_and_can_be_followed(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    start, problem = trained(source, tiny_table(source, 40, "multiclass"))
    joined = Quantize(mode="none")(start, problem, Run(Cache()))
    wanted = start.scores(problem.train)
    np.testing.assert_allclose(joined.scores(problem.train), wanted, atol=1e-4)
    after = Quantize(mode="dynamic")(joined, problem, Run(Cache()))
    at_once = Quantize(mode="dynamic")(start, problem, Run(Cache()))
    assert isinstance(after.model, Finished) and after.model.origin is start.model
    np.testing.assert_allclose(after.scores(problem.train), at_once.scores(problem.train), atol=0.2)


def test_auto_takes_static_for_convolutions(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    for name, mode in (("bert", "dynamic"), ("vit", "dynamic"), ("mobilenet", "static")):
        source = tiny_sources[name]
        start, problem = trained(source, tiny_table(source, 30, "multiclass"))
        made = Quantize()(start, problem, Run(Cache()))
        assert made.lineage[-1].notes["mode"] == mode


def test_what_cannot_be_is_refused(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    source = tiny_sources["mobilenet"]
    start, problem = trained(source, tiny_table(source, 30, "multiclass"))
    with pytest.raises(ChainError, match="use mode=static"):
        Quantize(mode="dynamic")(start, problem, Run(Cache()))
    with pytest.raises(Pruned):
        Quantize()(start, problem, Run(Cache(), deadline=0.0))
    with pytest.raises(ChainError, match="put it behind a strategy"):
        Quantize()(Specialist(source, problem.task), problem, Run(Cache()))
    once = Quantize()(start, problem, Run(Cache()))
    with pytest.raises(ChainError, match="a graph once"):
        Quantize()(once, problem, Run(Cache()))
