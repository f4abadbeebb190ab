from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.errors import ChainError
from metier.sources.text import open_text
from metier.strategies.chain import Chain
from metier.strategies.finetune import Finetune
from metier.strategies.probe import Probe
from metier.strategies.prune import Prune, _survivors
from metier.strategies.quantize import Quantize
from metier.tasks import build
from metier.training import loop
from metier.training.compression.anatomy import find_parts
from metier.training.compression.surgery import silence
from metier.training.net import NetModel
from metier.types import Floats, Problem, Run, Specialist, Table
from tests import tiny
from tests.training.compression.cutting import probe_of

Learn = Callable[..., Specialist]
Tables = Callable[..., Table]
NOTHING: dict[str, Any] = {"heads": 0.0, "units": 0.0, "channels": 0.0, "blocks": 0.0}
STILL: dict[str, Any] = {"epochs": 0.01, "rate": 0.0, "average": 0.0, "alpha": 0.0}
"""A recovery that changes nothing."""


@pytest.fixture
def probed(tiny_sources: dict[str, Any], tiny_table: Tables) -> Callable[..., Any]:
    """A specialist on a tiny source and its problem."""

    def make(name: str, kind: Any = "multiclass", n: int = 24) -> tuple[Specialist, Problem]:
        source = tiny_sources[name]
        table = tiny_table(source, n, kind)
        problem = Problem(build(kind, table), table)
        return Probe()(Specialist(source, problem.task), problem, Run(Cache())), problem

    return make


def net_of(specialist: Specialist) -> NetModel:
    assert isinstance(specialist.model, NetModel)
    return specialist.model


def bytes_of(specialist: Specialist) -> int:
    return len(net_of(specialist).graph().SerializeToString())


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_what_is_dead_goes_first_and_leaves_no_trace(name: str, probed: Any) -> None:
    start, problem = probed(name)
    backbone = net_of(start).net.backbone
    parts = [part for part in find_parts(backbone, probe_of(backbone)) if part.sort == "units"]
    shared = dict(backbone.model.named_parameters())
    for part in parts:
        silence(backbone.model, part, np.arange(part.count // 2))
    try:
        before = start.scores(problem.train)
        dead = sum(part.count - part.count // 2 for part in parts)
        share = dead / sum(part.count for part in parts)
        after = Prune(**{**NOTHING, "units": share, **STILL})(start, problem, Run(Cache()))
    finally:
        for part in parts:  # the source is everybody's
            backbone.model.get_submodule(part.taker).weight = shared[f"{part.taker}.weight"]
    np.testing.assert_allclose(after.scores(problem.train), before, atol=1e-4, rtol=1e-4)
    assert after.lineage[-1].notes["cut"]["units"] == dead
    kept = net_of(after).net.backbone.model.get_submodule(parts[0].taker)
    assert kept.weight.shape[1] == parts[0].count // 2


CUTS: list[tuple[str, dict[str, float], dict[str, int]]] = [
    ("bert", {"heads": 0.5}, {"heads": 6}),
    ("bert", {"units": 0.5}, {"units": 72}),
    ("bert", {"blocks": 0.34, "heads": 0.25}, {"blocks": 1, "heads": 2}),
    ("vit", {"heads": 0.25, "units": 0.9, "blocks": 0.5}, {"blocks": 2, "heads": 2, "units": 86}),
    ("mobilenet", {"channels": 0.5}, {"channels": 912}),
]


@pytest.mark.parametrize(("name", "shares", "wanted"), CUTS)
def test_the_net_and_its_graph_are_smaller(
    name: str,
    shares: dict[str, float],
    wanted: dict[str, int],
    probed: Any,
    by_graph: Callable[[Specialist, Table], Floats],
) -> None:
    start, problem = probed(name)
    after = Prune(**{**NOTHING, **shares}, epochs=1)(start, problem, Run(Cache()))
    cut = {sort: many for sort, many in after.lineage[-1].notes["cut"].items() if many}
    assert cut == wanted
    small, large = net_of(after), net_of(start)
    assert small.parameters < large.parameters
    weights = 4 * (large.parameters - small.parameters)
    assert bytes_of(start) - bytes_of(after) > 0.85 * weights
    scores = after.scores(problem.train)
    np.testing.assert_allclose(by_graph(after, problem.train), scores, atol=1e-4, rtol=1e-4)
    assert [step.strategy for step in after.lineage] == ["probe", "prune"]


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_it_recovers(kind: Any, tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 90, kind)
    problem = Problem(build(kind, table), table)
    tuned = Finetune(train="all", epochs=12, rate=5e-3, patience=0)(
        Specialist(source, problem.task), problem, Run(Cache())
    )
    shares = {**NOTHING, "units": 0.8, "heads": 0.5}
    cut = Prune(**{**shares, **STILL})(tuned, problem, Run(Cache()))
    recovered = Prune(**shares, epochs=8, rate=1e-3, alpha=1.0, patience=0)(
        tuned, problem, Run(Cache())
    )
    parent = tuned.scores(table)
    missed = [np.abs(one.scores(table) - parent).mean() for one in (cut, recovered)]
    assert missed[1] < missed[0]


def test_a_structure_is_left_everywhere(probed: Any) -> None:
    start, problem = probed("bert")
    most = Prune(heads=0.99, units=0.99, blocks=0.99, epochs=1)(start, problem, Run(Cache()))
    backbone = net_of(most).net.backbone
    assert backbone.model.config.num_hidden_layers == 1
    (block,) = backbone.model.encoder.layer
    assert block.attention.self.query.out_features == 8
    assert block.intermediate.dense.out_features == 1


def test_the_least_important_go_wherever_they_are() -> None:
    weights = [np.array([5.0, 1.0, 4.0, 2.0]), np.array([0.1, 0.3, 0.2, 0.4])]
    kept = [k.tolist() for k in _survivors(weights, 0.5)]
    assert kept == [[0, 2, 3], [3]], "the best of each is left, however little it is worth"
    assert [len(k) for k in _survivors(weights, 0.0)] == [4, 4]
    assert [len(k) for k in _survivors(weights, 1.0)] == [1, 1]


def test_it_can_follow_itself_and_be_followed(probed: Any) -> None:
    start, problem = probed("bert")
    chain = Chain((Prune(epochs=1, blocks=0.34), Prune(epochs=1, heads=0.3), Finetune(epochs=1)))
    after = chain(start, problem, Run(Cache()))
    assert net_of(after).parameters < net_of(start).parameters
    small = Chain((Prune(epochs=1), Quantize()))(start, problem, Run(Cache()))
    assert small.form == "graph" and np.isfinite(small.scores(problem.train)).all()


def test_nothing_to_cut_is_said_in_one_line(tmp_path: Path, learn: Learn) -> None:
    options = {"num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 1}
    source = open_text(str(tiny.save_bert(tmp_path, **options)))
    table = tiny.labelled_texts(30, "binary")
    probe = learn(Probe(), table, "binary", source)
    with pytest.raises(ChainError, match="nothing that could be cut"):
        learn(Prune(), table, "binary", start=probe)
    with pytest.raises(ChainError, match="takes a net"):
        learn(Prune(), table, "binary", source)


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_killed_recovery_goes_on_where_it_was(
    probed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    start, problem = probed("bert")
    strategy = Prune(epochs=4, patience=0, rows=8)
    whole = strategy(start, problem, Run(Cache()))
    steps: list[int] = []

    def counting(limit: int) -> Callable[[Any], Any]:
        def wrap(inner: Any) -> Any:
            class Counted:
                enters, feeds = inner.enters, inner.feeds

                def __call__(self, net: Any, batch: Any) -> Any:
                    steps.append(1)
                    if len(steps) == limit:
                        raise Killed
                    return inner(net, batch)

            return Counted()

        return wrap

    run = Run(Cache(), folder=tmp_path)
    with pytest.raises(Killed):
        strategy(start, problem, run.with_objective(counting(6)))
    again = strategy(start, problem, run.with_objective(counting(99)))
    assert len(steps) == 6 + whole.lineage[-1].notes["steps"] - 5
    assert (again.scores(problem.train) == whole.scores(problem.train)).all()


def test_it_settles_what_the_folds_found() -> None:
    notes = [{"epochs": 3.0}, {"epochs": 5.0}, {"epochs": 4.0}]
    assert Prune().settled(notes) == {"epochs": 4.0, "patience": 0}
