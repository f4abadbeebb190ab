"""Defensive distillation: large scores, the same answers, and a defence that the margin undoes."""

from __future__ import annotations

from collections.abc import Callable
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
from metier.strategies.defensive_distillation import DefensiveDistillation
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training.attacks.pgd import Budget, answering, pgd
from metier.types import Problem, Run, Specialist, Table

Tables = Callable[..., Table]


def test_it_hides_the_gradient_and_the_margin_finds_it(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["vit"]
    table = tiny_table(source, 96, "binary")
    task = build("binary", table)
    inner = Finetune(train="all", epochs=6.0, rate=2e-3, patience=0, dropout=0.0)
    strategy = DefensiveDistillation(inner, temperature=2000.0)
    made = strategy(Specialist(source, task), Problem(task, table), Run(Cache()))
    model: Any = made.model
    pixels = Pixels.of(model.preprocess)
    seen = torch.from_numpy(pixels.read(model.preprocess, table.columns()["image"]))
    aim = Aim(task.encode(table), Decision("binary", task.labels))
    answer = answering(model.net.eval(), pixels)
    blind = pgd(answer, seen, aim, Budget(16 / 255, 10, restarts=1))
    found = pgd(answer, seen, aim, Budget(16 / 255, 10, restarts=2))
    assert blind.flat > 0.3
    left = [
        float(aim.wrong(answer(each.pixels).detach().numpy()).mean()) for each in (blind, found)
    ]
    assert left[1] > left[0] + 0.1, "the margin breaks what the cross-entropy could not"


def test_the_answers_are_those_before_the_blow_up(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 48, "multiclass")
    task = build("multiclass", table)
    start, problem = Specialist(source, task), Problem(task, table)
    scores = [
        DefensiveDistillation(Finetune(epochs=1.0), temperature)(
            start, problem, Run(Cache())
        ).scores(table)
        for temperature in (1.0, 20.0)
    ]
    np.testing.assert_allclose(20 * scores[0], scores[1], rtol=1e-3, atol=1e-3)


def test_it_replaces_the_labels_so_nothing_goes_inside_it(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 30, "multiclass")
    task = build("multiclass", table)
    strategy = Adversarial(DefensiveDistillation(Finetune(epochs=1.0)), variant="words")
    with pytest.raises(ChainError, match="put other wrappers around"):
        strategy(Specialist(source, task), Problem(task, table), Run(Cache()))
