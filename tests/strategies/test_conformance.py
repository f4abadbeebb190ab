"""What every strategy promises, run over the whole registry.

Same seed, same scores; the start is left as it was; the deadline is kept; saved, moved and loaded
it predicts the same; rows that it was not given cannot be reached; awkward rows do not end it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import metier
from metier.cache import Cache
from metier.deploy.bundle import write_bundle
from metier.errors import ChainError, Pruned
from metier.registry import find, names
from metier.runtime.postprocess import Decision
from metier.sources.tabular import Tabular
from metier.tasks import build
from metier.types import Problem, Roles, Run, Source, Specialist, Strategy, Table

from .conftest import TARGETS, awkward_table, towards

KINDS = ("binary", "multiclass", "multilabel", "regression")
REFUSED = {
    ("majority", "regression"),
    ("generalist", "regression"),
    ("contrast", "regression"),
    ("oversample", "regression"),
    *((name, "multilabel") for name in ("oversample", "synthesize")),
    ("defensive_distillation", "regression"),
    ("pseudolabel", "regression"),
    *((name, kind) for name in ("constrain", "threshold") for kind in KINDS[1:]),
    *(("mean", kind) for kind in KINDS[:3]),
}
"""What has no meaning; it is refused with a ChainError."""
QUICK = {"epochs": 1, "trees": 15, "bags": 1}
"""Fields that make a fit short, for the strategies that have them."""
ENDLESS = {"epochs": 100_000, "trees": 10_000_000, "patience": 0}
NEEDS = {"lora": "peft", "boost": "lightgbm", "fuse": "lightgbm", "thin": "lightgbm"}
NEEDS |= {"ebm": "interpret"}
NEEDS |= {"reweigh": "lightgbm", "constrain": "fairlearn", "threshold": "lightgbm"}
NEEDS |= {"oversample": "imblearn", "synthesize": "lightgbm"}
FAIR = ("reweigh", "constrain", "threshold")
"""What needs to know who is to be treated alike."""
FROM_ROWS = ("pseudolabel", "consistency", "align", "pretrain")
"""What learns from rows without labels."""
Tables = Callable[..., Table]


def make(name: str, settings: dict[str, Any], modality: str = "text") -> Strategy:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    built = find("strategies", name)()
    own = {field.name for field in fields(built)}
    changes = {key: value for key, value in settings.items() if key in own}
    if "inner" in own:
        usual = "boost" if modality == "tabular" else "finetune"
        wrapped = built.inner or find("strategies", usual)()
        inner = {f.name for f in fields(wrapped)}
        changes["inner"] = replace(
            wrapped, **{key: value for key, value in settings.items() if key in inner}
        )
    strategy: Strategy = replace(built, **changes)
    return strategy


def with_rows(strategy: Strategy, name: str, table: Table) -> Strategy:
    """The strategy with rows without labels, where it learns from some."""
    if name not in FROM_ROWS:
        return strategy
    inputs = table.roles.inputs
    rows = Table(table.frame.select(list(inputs)), Roles(inputs), table.base)
    made: Any = strategy
    given: Strategy = replace(made, unlabeled=rows.take(range(len(rows) // 2)))
    return given


def beginning(strategy: Strategy, source: Source, problem: Problem) -> Specialist:
    """What a strategy begins with: the source, or what a quick strategy makes of it where it takes
    only what has learned something."""
    start = Specialist(source, problem.task)
    if "source" in strategy.accepts:
        return start
    trees = "boost" if source.modality == "tabular" else "fuse"
    first = make("probe" if "net" in strategy.accepts else trees, QUICK)
    return first(start, problem, Run(Cache()))


def pairs() -> list[tuple[str, str]]:
    return [(n, m) for n in names("strategies") for m in find("strategies", n).modalities]


def cases() -> list[tuple[str, str, str]]:
    """Every kind of answer for texts and tables; images differ from texts below the head only."""
    return [
        (name, modality, kind)
        for name, modality in pairs()
        for kind in (KINDS if modality != "image" else KINDS[1:3])
    ]


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few tokens go through a network at once, as where texts are long."""
    monkeypatch.setattr("metier.training.feed.PORTION", 40)


@pytest.fixture(scope="module")
def given(tiny_sources: dict[str, Any], tiny_table: Tables) -> Callable[..., tuple[Source, Table]]:
    """A source and labelled rows: `given(name, modality, kind, n)`."""

    def source_and_rows(name: str, modality: str, kind: str, n: int = 40) -> tuple[Source, Table]:
        if modality == "tabular":
            table = towards(awkward_table(3 * n), *TARGETS[kind])
            return Tabular(), with_groups(table) if name in FAIR else table
        source = tiny_sources["bert" if modality == "text" else "vit"]
        table = tiny_table(source, n, kind)
        if name == "fuse":
            table = with_numbers(table)
        return source, with_groups(table) if name in FAIR else table

    return source_and_rows


def with_groups(table: Table) -> Table:
    """The rows with a sensitive column beside them, empty in some."""
    sex = (["f", "m", "m", "f", None] * len(table))[: len(table)]
    frame = table.frame.with_columns(sex=pl.Series(sex, dtype=pl.String))
    return replace(table, frame=frame, roles=replace(table.roles, sensitive=("sex",)))


def with_numbers(table: Table) -> Table:
    """The rows with a number beside them, and a constant."""
    size = np.random.default_rng(0).normal(size=len(table))
    frame = table.frame.with_columns(size=pl.Series(size), same=pl.lit(1.0))
    inputs: Any = {**table.roles.inputs, "size": "number", "same": "number"}
    return replace(table, frame=frame, roles=replace(table.roles, inputs=inputs))


def tensors(value: Any) -> Iterator[bytes]:
    """The bytes of all weights that a specialist or a source holds."""
    import torch

    if isinstance(value, torch.nn.Module):
        for key, tensor in value.state_dict().items():
            yield key.encode() + tensor.cpu().numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield value.tobytes()
    elif isinstance(value, str | bytes):
        yield value if isinstance(value, bytes) else value.encode()
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from tensors(inner)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))


def fingerprint(start: Specialist) -> str:
    whole = hashlib.sha256()
    source: Any = start.source
    if hasattr(source, "load"):
        for part in tensors(source.load()):
            whole.update(part)
    for part in tensors(start.model):
        whole.update(part)
    return whole.hexdigest()


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("name", "modality", "kind"), cases())
def test_same_seed_same_scores_and_the_start_is_left_as_it_was(
    name: str, modality: str, kind: Any, given: Callable[..., tuple[Source, Table]]
) -> None:
    strategy = make(name, QUICK, modality)
    source, table = given(name, modality, kind)
    strategy = with_rows(strategy, name, table)
    task = build(kind, table)
    start = beginning(strategy, source, Problem(task, table))
    if (name, kind) in REFUSED:
        with pytest.raises(ChainError):
            strategy(start, Problem(task, table), Run(Cache()))
        return
    before, lineage = fingerprint(start), start.lineage
    one = strategy(start, Problem(task, table), Run(Cache(), seed=5))
    np.random.default_rng().random()
    two = strategy(start, Problem(task, table), Run(Cache(), seed=5))
    assert fingerprint(start) == before and start.lineage == lineage
    scores = one.scores(table)
    assert scores.shape == (len(table), task.outputs) and np.isfinite(scores).all()
    assert (scores == two.scores(table)).all()
    assert one.form == strategy.gives
    *earlier, step = one.lineage
    assert tuple(earlier) == lineage and step.strategy == name and step.seconds >= 0
    assert {f.name for f in fields(strategy)} <= {*step.parameters}


def chains() -> list[tuple[str, str, str]]:
    """What can follow a probe or a booster, and on what."""
    found = []
    for first, modality in (("probe", "text"), ("boost", "tabular")):
        for name, own in pairs():
            if (
                own == modality
                and (name, "multiclass") not in REFUSED
                and find("strategies", first).gives in find("strategies", name)().accepts
            ):
                found.append((first, name, modality))
    return found


@pytest.mark.parametrize(("first", "name", "modality"), chains())
def test_a_start_that_has_learned_is_left_as_it_was(
    first: str, name: str, modality: str, given: Callable[..., tuple[Source, Table]]
) -> None:
    beginning, strategy = make(first, QUICK), make(name, QUICK, modality)
    source, table = given(name, modality, "multiclass")
    strategy = with_rows(strategy, name, table)
    task = build("multiclass", table)
    problem = Problem(task, table)
    start = beginning(Specialist(source, task), problem, Run(Cache()))
    before, scores = fingerprint(start), start.scores(table)
    after = strategy(start, problem, Run(Cache()))
    assert fingerprint(start) == before
    assert (start.scores(table) == scores).all()
    assert [step.strategy for step in after.lineage] == [first, name]


@pytest.mark.parametrize(("name", "modality"), pairs())
def test_saved_moved_and_loaded_it_predicts_the_same(
    name: str,
    modality: str,
    given: Callable[..., tuple[Source, Table]],
    tmp_path: Path,
) -> None:
    strategy = make(name, QUICK, modality)
    kinds = ("multilabel", "regression", "binary")
    kind: Any = next(k for k in kinds if (name, k) not in REFUSED)
    source, table = given(name, modality, kind)
    strategy = with_rows(strategy, name, table)
    task = build(kind, table)
    problem = Problem(task, table)
    specialist = strategy(beginning(strategy, source, problem), problem, Run(Cache()))
    decision = Decision(kind, task.labels)
    folder = tmp_path / "run" / "specialist"
    digest = write_bundle(
        specialist, folder, decision=decision, sample=table, card="# card", facts={}
    )
    weights = folder.parent / "weights"
    assert any(weights.iterdir())
    assert not {".pkl", ".pickle", ".pt", ".pth", ".bin"} & {
        path.suffix for path in folder.parent.rglob("*")
    }
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    bundle = metier.load(moved)
    assert bundle.digest == digest
    scores = specialist.scores(table)
    tolerance = 1e-4 * max(1.0, float(np.ptp(scores)))
    np.testing.assert_allclose(bundle.scores(table.columns()), scores, atol=tolerance)
    found = bundle.predict(table.columns())
    assert found.reasons == {}
    if kind == "regression":
        np.testing.assert_allclose(
            np.asarray(found.answers, dtype=float), scores[:, 0], atol=tolerance
        )
    else:
        assert found.answers == decision.answers(scores)


def awkward(table: Table, modality: str) -> Table:
    """A class with a single row, empty texts, a constant column."""
    labels = table.frame[table.roles.target[0]].to_list()
    labels[3] = "only once"
    frame = table.frame.with_columns(pl.Series(table.roles.target[0], labels))
    inputs: dict[str, Any] = dict(table.roles.inputs)
    if modality == "text":
        texts = frame["text"].to_list()
        frame = frame.with_columns(text=pl.Series(["", None, "  ", *texts[3:]]))
    if modality == "tabular":
        frame, inputs["constant"] = frame.with_columns(constant=pl.lit("same")), "category"
    roles = Roles(inputs, table.roles.target, sensitive=table.roles.sensitive)
    return replace(table, frame=frame, roles=roles)


@pytest.mark.parametrize(
    ("name", "modality"), [pair for pair in pairs() if (pair[0], "multiclass") not in REFUSED]
)
def test_it_survives_awkward_rows(
    name: str, modality: str, given: Callable[..., tuple[Source, Table]]
) -> None:
    strategy = make(name, QUICK, modality)
    source, table = given(name, modality, "multiclass")
    table = awkward(table, modality)
    strategy = with_rows(strategy, name, table)
    task = build("multiclass", table)
    assert task.outputs == 4
    start = beginning(strategy, source, Problem(task, table))
    for rows in (table, table.take([i for i in range(len(table)) if i != 3]), table.take(range(9))):
        specialist = strategy(start, Problem(task, rows), Run(Cache()))
        scores = specialist.scores(table)
        assert scores.shape == (len(table), 4) and np.isfinite(scores).all()


def deadlines() -> list[tuple[str, str, float]]:
    """All have run out at -1; what could go on for ever is given a while too."""
    found = [(name, modality, -1.0) for name, modality in pairs()]
    for name, modality in pairs():
        own = {field.name for field in fields(find("strategies", name))}
        if own & {*ENDLESS, "inner"} and modality != "image":
            found.append((name, modality, 1.5))
    return found


@pytest.mark.parametrize(("name", "modality", "seconds"), deadlines())
def test_the_deadline_is_kept(
    name: str, modality: str, seconds: float, given: Callable[..., tuple[Source, Table]]
) -> None:
    kind = "regression" if name == "mean" else "binary"
    strategy = make(name, ENDLESS, modality)
    source, table = given(name, modality, kind, 80)
    strategy = with_rows(strategy, name, table)
    problem = Problem(build(kind, table), table)
    start = beginning(strategy, source, problem)
    began = time.monotonic()
    try:
        specialist = strategy(start, problem, Run(Cache(), deadline=began + seconds))
        assert np.isfinite(specialist.scores(table)).all()
    except Pruned:
        assert seconds < 0, "there was time enough for something"
    assert time.monotonic() - began < max(seconds, 0) + 2.0


def test_no_strategy_can_reach_rows_that_judge_it() -> None:
    assert {field.name for field in fields(Problem)} == {"task", "train"}
    assert {field.name for field in fields(Run)}.isdisjoint({"test", "valid", "table"})


@pytest.mark.parametrize("name", names("strategies"))
def test_a_strategy_is_a_frozen_value_that_says_what_it_takes(name: str) -> None:
    strategy = make(name, {})
    assert isinstance(strategy, Strategy) and strategy == make(name, {})
    assert hash(strategy) == hash(make(name, {}))
    assert strategy.accepts and strategy.gives and strategy.modalities
    assert (type(strategy).__doc__ or "").strip()
