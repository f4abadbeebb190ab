"""The seam for other losses: wrappers compose with strategies and see the input they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metier.cache import Cache
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training.feed import Feed
from metier.training.net import Net
from metier.training.objectives import Batch, Objective, Supervised
from metier.training.start import preprocess_of
from metier.types import Problem, Run, Specialist, Table
from tests import tiny

Tables = Callable[..., Table]


@dataclass
class Perturbed:
    """Miyato et al., 2017: the loss where a small step in embedding space makes it worst."""

    inner: Objective
    size: float = 0.5
    enters: int = 1
    seen: list[int] = field(default_factory=list)

    @property
    def feeds(self) -> Any:
        return self.inner.feeds

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        self.seen.append(batch.at)
        hidden = batch.hidden
        if hidden is None:
            hidden = net.backbone.activations(batch.inputs, 1)
        clean = hidden.detach().requires_grad_(True)
        loss = self.inner(net, replace(batch, hidden=clean, at=1))
        (gradient,) = torch.autograd.grad(loss, clean)
        step = self.size * torch.nn.functional.normalize(gradient, dim=-1)
        return self.inner(net, replace(batch, hidden=hidden + step, at=1))


@dataclass
class Fgsm:
    """Goodfellow et al., 2015: pixels moved by the sign of their gradient."""

    inner: Objective
    size: float = 0.1
    enters: int = 0
    seen: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def feeds(self) -> Any:
        return self.inner.feeds

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        pixels = batch.inputs["pixel_values"].clone().requires_grad_(True)
        self.seen.append(tuple(pixels.stride()))
        loss = self.inner(net, replace(batch, inputs={"pixel_values": pixels}))
        (gradient,) = torch.autograd.grad(loss, pixels)
        assert gradient.abs().max() > 0
        moved = (pixels + self.size * gradient.sign()).detach()
        return self.inner(net, replace(batch, inputs={"pixel_values": moved}))


@dataclass
class Unlabelled:
    """The labelled loss, and agreement of two dropout passes on rows of its own."""

    inner: Objective
    feed: Feed
    random: np.random.Generator
    losses: list[float] = field(default_factory=list)

    @property
    def enters(self) -> int | None:
        return self.inner.enters

    @property
    def feeds(self) -> list[Feed]:
        return [*self.inner.feeds, self.feed]

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        rows = self.random.integers(0, len(self.feed), 8)
        inputs = self.feed.inputs(rows)
        apart = (net(inputs).softmax(-1) - net(inputs).softmax(-1)).square().mean()
        self.losses.append(float(apart.detach()))
        return self.inner(net, batch) + apart


def start(
    source: Any, tiny_table: Tables, kind: Any = "multiclass"
) -> tuple[Specialist, Problem, Table]:
    table = tiny_table(source, 48, kind)
    task = build(kind, table)
    return Specialist(source, task), Problem(task, table), table


@pytest.mark.parametrize(("train", "at"), [("all", 0), ("top", 1), ("head", 1)])
def test_an_embedding_adversary_composes_with_fine_tuning(
    train: Any, at: int, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    begun, problem, table = start(tiny_sources["bert"], tiny_table)
    wrapped: list[Perturbed] = []

    def wrap(objective: Objective) -> Objective:
        wrapped.append(Perturbed(objective))
        return wrapped[-1]

    tune = Finetune(train=train, epochs=2, dropout=0.0, average=0.0)
    plain = tune(begun, problem, Run(Cache()))
    guarded = tune(begun, problem, Run(Cache()).with_objective(wrap))
    (objective,) = wrapped
    assert set(objective.seen) == {at} and len(objective.seen) == plain.lineage[-1].notes["steps"]
    assert guarded.lineage[-1].notes["cached_at"] == at
    assert np.isfinite(guarded.scores(table)).all()
    assert np.abs(guarded.scores(table) - plain.scores(table)).max() > 1e-3


@pytest.mark.parametrize("train", ["top", "all"])
def test_a_pixel_adversary_composes_with_fine_tuning(
    train: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    begun, problem, table = start(tiny_sources["vit"], tiny_table)
    wrapped: list[Fgsm] = []

    def wrap(objective: Objective) -> Objective:
        wrapped.append(Fgsm(objective))
        return wrapped[-1]

    tune = Finetune(train=train, epochs=1, dropout=0.0)
    guarded = tune(begun, problem, Run(Cache()).with_objective(wrap))
    assert guarded.lineage[-1].notes["cached_at"] == 0 and wrapped[0].seen
    assert all(0 not in strides for strides in wrapped[0].seen), "real pixels, not their shape"
    assert np.isfinite(guarded.scores(table)).all()


def test_wrappers_nest_the_last_one_outside(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    order: list[str] = []
    run = Run(Cache())
    for name in ("first", "second"):
        run = run.with_objective(lambda objective, name=name: order.append(name) or objective)
    begun, problem, _ = start(tiny_sources["bert"], tiny_table)
    Finetune(train="head", epochs=1)(begun, problem, run)
    assert order == ["first", "second"]


@pytest.mark.parametrize("train", ["top", "all"])
def test_an_objective_may_read_rows_of_its_own(
    train: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Their words are not among the labelled ones, so that the vocabulary must hold them too."""
    source = tiny_sources["bert"]
    begun, problem, table = start(source, tiny_table)
    unlabelled = tiny.text_table([f"unused{i} unused{i + 1} card" for i in range(12)])
    feed = Feed(source.load(), preprocess_of(source, table), unlabelled, Cache())
    made: list[Unlabelled] = []

    def wrap(objective: Objective) -> Objective:
        made.append(Unlabelled(objective, feed, np.random.default_rng(0)))
        return made[-1]

    tuned = Finetune(train=train, epochs=2)(begun, problem, Run(Cache()).with_objective(wrap))
    assert max(made[0].losses) > 0
    before = source.load().model.get_input_embeddings().weight
    after = tuned.model.net.backbone.model.get_input_embeddings().weight
    assert (not torch.equal(before[5:17], after[5:17])) == (train == "all")
    assert torch.equal(before[18:25], after[18:25])


def test_a_regression_loss_knows_no_unit() -> None:
    values = torch.linspace(-1, 2, 9)
    scores = torch.randn(9, 1, generator=torch.Generator().manual_seed(0))
    losses = []
    for unit, offset in ((1.0, 0.0), (1e6, 1e7), (1e-4, 3e-4)):
        targets = values * unit + offset
        table = Table(*_frame(targets.tolist()))
        task = build("regression", table)
        centre, scale = float(targets.mean()), float(targets.std(correction=0))
        losses.append(float(Supervised(task, centre=centre, scale=scale).of(scores, targets)))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-3)


def _frame(values: list[float]) -> tuple[Any, Any]:
    table = tiny.text_table(["text"] * len(values), target=values)
    return table.frame, table.roles
