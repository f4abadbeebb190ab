"""Adversarial training as a wrapper: what it wraps, what it refuses, and that it hardens."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.errors import ChainError
from metier.evidence.robustness.aims import Aim
from metier.evidence.robustness.pixels import Pixels
from metier.runtime.postprocess import Decision
from metier.strategies.adversarial import Adversarial
from metier.strategies.contrast import Contrast
from metier.strategies.finetune import Finetune
from metier.strategies.linear import Linear
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.attacks.pgd import Budget, answering, pgd
from metier.training.neighbours import embedding_of
from metier.types import Problem, Run, Specialist, Table

Tables = Callable[..., Table]
SHORT = Finetune(train="all", epochs=2.0, rate=1e-3)


def begun(source: Any, tiny_table: Tables, n: int = 48, kind: Any = "multiclass") -> Any:
    table = tiny_table(source, n, kind)
    task = build(kind, table)
    return Specialist(source, task), Problem(task, table), table


@pytest.mark.parametrize(
    ("source", "variant"),
    [
        ("vit", "steps"),
        ("mobilenet", "free"),
        ("bert", "drawn"),
        ("bert", "words"),
        ("bert", "embeddings"),
    ],
)
def test_every_variant_learns_and_says_what_it_did(
    source: str, variant: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, problem, table = begun(tiny_sources[source], tiny_table)
    run = Run(Cache(), seed=3)
    made = Adversarial(SHORT, variant=variant, near=-1.0)(start, problem, run)
    plain = SHORT(start, problem, run)
    assert np.abs(made.scores(table) - plain.scores(table)).max() > 1e-3
    (step,) = made.lineage
    assert step.strategy == "adversarial" and step.parameters["variant"] == variant
    assert step.parameters["inner"]["strategy"] == "finetune"
    assert step.notes["cached_at"] == 0 and step.notes["steps"] > 0
    json.dumps({"parameters": step.parameters, "notes": step.notes}, allow_nan=False)


@pytest.mark.parametrize("train", ["top", "all"])
def test_words_of_the_whole_vocabulary_may_be_learned(
    train: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """With the embeddings learning too, the table holds the words in use and their neighbours."""
    start, problem, table = begun(tiny_sources["bert"], tiny_table)
    inner = Finetune(train=train, epochs=1.0)
    made = Adversarial(inner, variant="words", share=0.5, near=-1.0)(start, problem, Run(Cache()))
    assert np.isfinite(made.scores(table)).all()


@pytest.mark.parametrize("after", [False, True])
def test_neighbouring_words_are_drawn_together_in_what_comes_out_alone(
    after: bool, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, problem, _ = begun(tiny_sources["bert"], tiny_table)
    run = Run(Cache())
    if after:
        start = Probe()(start, problem, run)
    loaded: Any = start.source
    before = embedding_of(loaded.load()).weight.detach().clone()
    made = Adversarial(Finetune(train="head", epochs=1.0), near=0.1)(start, problem, run)
    model: Any = made.model
    assert made.source is start.source and model.source is start.source
    assert model.untouched == 0
    assert not torch.equal(embedding_of(model.net.backbone).weight, before)
    assert torch.equal(embedding_of(loaded.load()).weight, before)
    loose = Adversarial(Finetune(train="head", epochs=1.0), near=0.1, pull=0.0)
    kept: Any = loose(start, problem, run).model
    assert torch.equal(embedding_of(kept.net.backbone).weight, before)


def test_after_words_were_drawn_together_all_learns_but_the_words(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, problem, _ = begun(tiny_sources["bert"], tiny_table)
    made = Adversarial(near=0.1)(start, problem, Run(Cache()))
    (step,) = made.lineage
    assert step.parameters["inner"]["blocks"] == 1.0
    assert step.notes["cached_at"] == 1


def test_it_hardens_against_the_attack_that_it_learned_from(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Brightness decides here, and a radius of 24/255 moves it: what was trained for that holds."""
    start, problem, table = begun(tiny_sources["vit"], tiny_table, n=120, kind="binary")
    radius = 24 / 255
    inner = Finetune(train="all", epochs=8.0, rate=2e-3, patience=0, dropout=0.0)
    run = Run(Cache(), seed=1)
    plain = inner(start, problem, run)
    hard = Adversarial(inner, radius=radius, steps=3, step=0.5)(start, problem, run)
    truth = problem.task.encode(table)
    assert attacked(hard, table, truth, radius) > attacked(plain, table, truth, radius) + 0.05


def test_steps_that_harden_nothing_are_noticed_and_doubled(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Steps of hardly any length leave the random start: the net withstands noise and no attack."""
    start, problem, table = begun(tiny_sources["vit"], tiny_table, n=120, kind="binary")
    inner = Finetune(train="all", epochs=8.0, rate=2e-3, patience=0, dropout=0.0)
    vain = Adversarial(inner, radius=24 / 255, steps=1, step=1e-6, grow=0.0)
    made = vain(start, problem, Run(Cache(), seed=1))
    turns = made.lineage[-1].notes["turns"]
    assert turns[0]["steps"] == 1 and turns[0]["withstood"] > 2 * turns[0]["left"]
    unchecked = replace(vain, steps=5)(start, problem, Run(Cache(), seed=1))
    assert "turns" not in unchecked.lineage[-1].notes
    truth = problem.task.encode(table)
    kept, lost = (attacked(each, table, truth, 24 / 255) for each in (made, unchecked))
    assert kept > lost + 0.05


def attacked(made: Specialist, table: Table, truth: np.ndarray, radius: float) -> float:
    model: Any = made.model
    pixels = Pixels.of(model.preprocess)
    seen = torch.from_numpy(pixels.read(model.preprocess, table.columns()["image"]))
    aim = Aim(truth, Decision("binary", made.task.labels))
    answer = answering(model.net.eval(), pixels)
    moved = pgd(answer, seen, aim, Budget(radius, 10))
    with torch.no_grad():
        return float(1 - aim.wrong(answer(moved.pixels).numpy()).mean())


def test_it_goes_on_from_a_net_that_has_learned(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, problem, _ = begun(tiny_sources["bert"], tiny_table)
    run = Run(Cache())
    made = Adversarial(SHORT)(Probe()(start, problem, run), problem, run)
    assert [step.strategy for step in made.lineage] == ["probe", "adversarial"]


def test_no_rows_are_held_out_that_know_the_clean_loss_only(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, problem, _ = begun(tiny_sources["bert"], tiny_table, n=1000)
    inner = Finetune(train="head", epochs=1.0, patience=2)
    plain = inner(start, problem, Run(Cache()))
    made = Adversarial(inner, variant="embeddings", steps=1)(start, problem, Run(Cache()))
    assert plain.lineage[-1].notes["rows"] < 1000 == made.lineage[-1].notes["rows"]


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        (Adversarial(SHORT, variant="free"), "'free' does not fit"),
        (Adversarial(Linear()), "not linear"),
        (Adversarial(Contrast(), variant="words"), "reads them in pieces"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    strategy: Adversarial, told: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    start, problem, _ = begun(tiny_sources["bert"], tiny_table)
    with pytest.raises(ChainError, match=told) as refused:
        strategy(start, problem, Run(Cache()))
    assert "\n" not in str(refused.value)
