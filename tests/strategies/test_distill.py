from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.errors import ChainError
from metier.registry import find
from metier.sources.tabular import Tabular
from metier.sources.text import open_text
from metier.strategies.chain import Chain
from metier.strategies.distill import Distill, _evenly
from metier.strategies.finetune import Finetune
from metier.strategies.probe import Probe
from metier.strategies.quantize import Quantize
from metier.tasks import build
from metier.training.net import NetModel
from metier.types import Floats, Problem, Run, Specialist, Table
from tests import tiny

Learn = Callable[..., Specialist]
Tables = Callable[..., Table]
STILL: dict[str, Any] = {"epochs": 0.01, "rate": 0.0, "average": 0.0, "patience": 0}
KINDS = ("binary", "multiclass", "multilabel", "regression")


@pytest.fixture(scope="module")
def teachers(tiny_sources: dict[str, Any], tiny_table: Tables) -> Callable[..., Any]:
    """A fine-tuned BERT by kind of task, with its problem and further rows."""
    known: dict[str, tuple[Specialist, Problem, Table]] = {}

    def make(kind: Any = "multiclass") -> tuple[Specialist, Problem, Table]:
        if kind not in known:
            source = tiny_sources["bert"]
            table = tiny_table(source, 140, kind)
            problem = Problem(build(kind, table), table.take(range(90)))
            tune = Finetune(train="all", epochs=12, rate=5e-3, patience=0)
            teacher = tune(Specialist(source, problem.task), problem, Run(Cache()))
            known[kind] = (teacher, problem, table.take(range(90, 140)))
        return known[kind]

    return make


def net_of(specialist: Specialist) -> NetModel:
    assert isinstance(specialist.model, NetModel)
    return specialist.model


def distance(one: Specialist, two: Specialist, rows: Table) -> float:
    """How far two specialists are apart, whatever shifts all classes alike."""
    first, second = one.scores(rows), two.scores(rows)
    if one.task.kind in ("binary", "multiclass"):
        first, second = (s - s.mean(1, keepdims=True) for s in (first, second))
    return float(np.sqrt(((first - second) ** 2).mean()))


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_blocks_follow_the_teacher(
    kind: str, teachers: Any, by_graph: Callable[[Specialist, Table], Floats]
) -> None:
    teacher, problem, more = teachers(kind)
    raw = Distill(**STILL)(teacher, problem, Run(Cache()))
    strategy = Distill(alpha=1.0, epochs=40, rate=2e-3, patience=0)
    student = strategy(teacher, problem, Run(Cache()))
    assert distance(student, teacher, more) < distance(raw, teacher, more)
    assert len(net_of(student).net.backbone.blocks) == 2
    assert net_of(student).parameters < net_of(teacher).parameters
    np.testing.assert_allclose(by_graph(student, more), student.scores(more), atol=1e-4, rtol=1e-4)


def test_soft_answers_alone_teach(teachers: Any) -> None:
    """Wrong labels do no harm when nobody listens to them."""
    teacher, problem, more = teachers()
    frame = problem.train.frame.with_columns(target=problem.train.frame["target"].reverse())
    wrong = Problem(problem.task, replace(problem.train, frame=frame))
    strategy = Distill(alpha=1.0, epochs=10, rate=1e-3, patience=0)
    right = strategy(teacher, problem, Run(Cache()))
    other = strategy(teacher, wrong, Run(Cache()))
    assert (right.scores(more) == other.scores(more)).all()
    mixed = replace(strategy, alpha=0.3)(teacher, wrong, Run(Cache()))
    assert distance(right, teacher, more) < distance(mixed, teacher, more)


@pytest.mark.parametrize("hidden", [0.0, 4.0])
def test_the_features_of_the_teacher_are_followed(hidden: float, teachers: Any) -> None:
    teacher, problem, _ = teachers()
    found = Distill(hidden=hidden, epochs=2, rate=1e-3)(teacher, problem, Run(Cache()))
    own, theirs = (
        net_of(one).net.backbone
        for one in (found, Distill(hidden=0.0, epochs=2, rate=1e-3)(teacher, problem, Run(Cache())))
    )
    same = all(
        bool((one == two).all())
        for one, two in zip(own.parameters(), theirs.parameters(), strict=True)
    )
    assert same == (hidden == 0.0)


@pytest.mark.parametrize("width", [16, 32])
def test_another_source_learns_from_the_teacher(width: int, teachers: Any, tmp_path: Path) -> None:
    teacher, problem, more = teachers()
    folder = tiny.save_bert(
        tmp_path, spare=20, hidden_size=width, num_attention_heads=2, num_hidden_layers=2
    )
    strategy = Distill(source=str(folder), blocks=1.0, epochs=6, rate=2e-3, patience=0)
    student = strategy(teacher, problem, Run(Cache()))
    assert student.source.name == str(folder) == net_of(student).source.name
    net = net_of(student).net
    assert net.backbone.width == width and len(net.backbone.blocks) == 2
    assert not any("widen" in name for name, _ in net.named_parameters())
    raw = replace(strategy, **STILL)(teacher, problem, Run(Cache()))
    assert distance(student, teacher, problem.train) < distance(raw, teacher, problem.train)
    assert np.isfinite(student.scores(more)).all()
    assert student.lineage[:-1] == teacher.lineage


def test_a_finished_graph_teaches_by_its_scores(teachers: Any) -> None:
    teacher, problem, more = teachers()
    graph = Quantize()(teacher, problem, Run(Cache()))
    student = Distill(blocks=1.0, epochs=4)(graph, problem, Run(Cache()))
    assert student.form == "net" and student.source is teacher.source
    assert [s.strategy for s in student.lineage] == ["finetune", "quantize", "distill"]
    agreed = (student.scores(more).argmax(1) == graph.scores(more).argmax(1)).mean()
    assert agreed > 0.5


def test_a_source_that_a_bundle_remembers_is_opened_by_its_name(teachers: Any) -> None:
    from metier.training.reopen import Recorded

    teacher, problem, _ = teachers()
    graph = Quantize()(teacher, problem, Run(Cache()))
    source = Recorded(teacher.source.name, "text", teacher.source.digest)
    student = Distill(epochs=1)(replace(graph, source=source), problem, Run(Cache()))
    assert student.source == teacher.source


def test_rows_without_labels_are_read(teachers: Any) -> None:
    teacher, problem, more = teachers()
    few = Problem(problem.task, problem.train.take(range(20)))
    unlabeled = replace(more, frame=more.frame.select("text"), roles=replace(more.roles, target=()))
    plain = Distill(epochs=6, patience=0)
    strategy = replace(plain, unlabeled=unlabeled)
    one, two = (strategy(teacher, few, Run(Cache())) for _ in range(2))
    assert (one.scores(more) == two.scores(more)).all()
    assert distance(one, plain(teacher, few, Run(Cache())), more) > 1e-4
    assert one.lineage[-1].parameters["unlabeled"] == len(more)
    assert hash(strategy) == hash(plain)


def test_chains(tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn) -> None:
    table = tiny_table(tiny_sources["vit"], 30)
    chain = Chain((Finetune(epochs=1), Distill(blocks=0.5, epochs=1)))
    found = learn(chain, table, "multiclass", tiny_sources["vit"])
    assert len(net_of(found).net.backbone.blocks) == 2
    assert [step.strategy for step in found.lineage] == ["finetune", "distill"]
    small = Chain((Distill(blocks=0.5, epochs=1), Quantize()))
    assert learn(small, table, "multiclass", start=found).form == "graph"


def test_blocks_are_spread_evenly() -> None:
    assert _evenly(6, range(6), 0.5) == [0, 2, 5]
    assert _evenly(12, range(12), 0.5) == [0, 2, 4, 7, 9, 11]
    assert _evenly(6, range(6), 1.0) == list(range(6))
    assert _evenly(3, range(3), 0.01) == [0]
    assert _evenly(5, [1, 3], 0.2) == [0, 2, 4], "what cannot go stays"
    assert _evenly(1, [], 0.5) == [0] and _evenly(0, [], 0.5) == []


def test_what_cannot_be_is_said(tmp_path: Path, learn: Learn) -> None:
    source = open_text(str(tiny.save_bert(tmp_path, num_hidden_layers=1)))
    table = tiny.labelled_texts(30, "binary")
    with pytest.raises(ChainError, match="not a source"):
        learn(Distill(), table, "binary", source)
    probe = learn(Probe(), table, "binary", source)
    with pytest.raises(ChainError, match="no block"):
        learn(Distill(), table, "binary", start=probe)
    constant = find("strategies", "majority")()
    model = replace(learn(constant, table, "binary", source), source=Tabular())
    with pytest.raises(ChainError, match="text or image"):
        learn(Distill(), table, "binary", start=model)


def test_it_settles_what_the_folds_found() -> None:
    notes = [{"epochs": 3.0}, {"epochs": 5.0}, {"epochs": 4.0}]
    assert Distill().settled(notes) == {"epochs": 4.0, "patience": 0}
