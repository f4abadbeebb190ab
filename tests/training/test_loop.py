"""The loop: what learns, until when, and what is kept."""

from __future__ import annotations

import gc
import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from metier.cache import Cache
from metier.errors import Pruned
from metier.training import loop
from metier.training.loop import Watch
from metier.training.schedule import Schedule

from .conftest import QUICK, Counting, Make, Ready, State, assert_same, changed, level


@pytest.mark.parametrize("name", ["bert", "vit", "mobilenet"])
@pytest.mark.parametrize("train", ["all", "top", "head"])
def test_learns_above_the_boundary_and_leaves_what_lies_below_bit_for_bit(
    name: str, train: str, ready: Make
) -> None:
    depth = ready(name).net.backbone.depth
    boundary = {"all": 0, "top": depth - 2, "head": depth}[train]
    made = ready(name, boundary)
    before = made.state()
    outcome = made.go(replace(QUICK, rate=1e-3, head_rate=3e-3))
    after = made.state()
    assert outcome.boundary == boundary and outcome.steps == outcome.planned == 12
    touched = changed(before, after)
    assert touched
    for key in touched:
        assert level(made.net, key) >= boundary, key
    norms = {key for key in before if key.endswith(("running_mean", "running_var"))}
    for key in norms:
        assert (key in touched) == (level(made.net, key) >= boundary), key
    losses = [loss for _, loss, _ in outcome.curve]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
def test_cached_and_uncached_fits_end_in_the_same_weights(name: str, ready: Make) -> None:
    cached, whole = ready(name, 3, 40), ready(name, 3, 40, cache=None)
    whole.objective = Counting(whole.objective, lambda _: None)
    object.__setattr__(whole.objective.inner, "enters", 0)
    gentle = replace(QUICK, rate=1e-5)
    first, second = cached.go(gentle), whole.go(gentle)
    assert (first.boundary, second.boundary) == (3, 0)
    for (_, one, _), (_, two, _) in zip(first.curve, second.curve, strict=True):
        assert one == pytest.approx(two, rel=1e-3)
    mine, theirs = cached.state(), whole.state()
    for key, value in theirs.items():
        # Adam makes steps of one size from gradients of any: where they vanish, noise decides.
        apart = (mine[key] - value).abs() > 1e-4 * max(1.0, float(value.abs().max()))
        assert apart.float().mean() < 0.02, key


def test_a_small_quota_falls_back_to_the_whole_pass(ready: Make) -> None:
    plenty, tight = ready("bert", 2, 40), ready("bert", 2, 40, cache=Cache(quota=5000), watched=0)
    first, second = plenty.go(QUICK), tight.go(QUICK)
    assert (first.boundary, second.boundary) == (2, 0)
    for key, value in plenty.state().items():
        torch.testing.assert_close(tight.state()[key], value, atol=1e-4, rtol=1e-3, msg=key)


@dataclass
class Pieced(Counting):
    """Hands on an objective, and notes of how many rows each piece is that it is given."""

    sizes: list[int] = field(default_factory=list)

    def counted(self, targets: torch.Tensor) -> float:
        inner: Any = self.inner
        return float(inner.counted(targets))

    def __call__(self, net: Any, batch: Any) -> torch.Tensor:
        self.sizes.append(len(batch.targets))
        return super().__call__(net, batch)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("weighed", [False, True])
def test_a_step_in_pieces_is_the_step_of_all_rows(kind: str, weighed: bool, ready: Make) -> None:
    whole, cut = ready("bert", 0, 40, kind), ready("bert", 0, 40, kind)
    for made in (whole, cut):
        objective: Any = made.objective
        weights = torch.linspace(0.2, 3.0, made.net.head.out_features) if weighed else None
        made.objective = Pieced(replace(objective, weights=weights), lambda _: None)
        for module in made.net.modules():  # its draws would differ
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    cut.feed.portion = 40
    gentle = replace(QUICK, rate=1e-4, clip=0.0)
    first, second = whole.go(gentle), cut.go(gentle)
    assert first.steps == second.steps
    sizes: Any = (whole.objective, cut.objective)
    assert len(sizes[0].sizes) == first.steps < len(sizes[1].sizes)
    assert sum(sizes[0].sizes) == sum(sizes[1].sizes)
    for (_, one, _), (_, two, _) in zip(first.curve, second.curve, strict=True):
        assert one == pytest.approx(two, rel=1e-3)
    mine, theirs = whole.state(), cut.state()
    for key, value in theirs.items():
        # Adam makes steps of one size from gradients of any: where they vanish, noise decides.
        apart = (mine[key] - value).abs() > 1e-4 * max(1.0, float(value.abs().max()))
        assert apart.float().mean() < 0.02, key


def test_batch_norms_see_no_fewer_rows_at_once_than_they_need(
    ready: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "NORMED", 8)
    made, frozen = ready("mobilenet", 0, 40), ready("vit", 0, 40)
    for each in (made, frozen):
        each.feed.portion = 4
        each.objective = Pieced(each.objective, lambda _: None)
        each.go(QUICK)
    sizes: Any = (made.objective, frozen.objective)
    assert max(sizes[0].sizes) == 8 and max(sizes[1].sizes) == 4


def test_an_objective_that_is_no_mean_of_rows_gets_whole_batches(ready: Make) -> None:
    made = ready("bert", 0, 40)
    made.feed.portion = 40
    made.objective = Counting(made.objective, lambda _: None)
    assert made.go(QUICK).steps == made.objective.steps

    class Undecided(Pieced):
        def counted(self, targets: torch.Tensor) -> None:
            return None

    made.objective = Undecided(made.objective, lambda _: None)
    assert made.go(QUICK).steps == made.objective.steps


def test_nothing_of_a_fit_is_left_but_the_weights(ready: Make) -> None:
    made = ready("bert", 0, 40)
    made.go(replace(QUICK, average=0.9))
    assert all(parameter.grad is None for parameter in made.net.parameters())
    net = weakref.ref(made.net)
    gc.disable()
    try:
        del made
        assert net() is None
    finally:
        gc.enable()


def test_same_seed_same_weights(ready: Make) -> None:
    states = []
    for seed in (3, 3, 4):
        made = ready("bert", 0, 40)
        made.net.dropout.p = 0.2
        torch.manual_seed(time.monotonic_ns() % 1000)  # whatever was drawn before
        made.go(QUICK, seed=seed)
        states.append(made.state())
    assert_same(states[0], states[1])
    assert changed(states[0], states[2])


def scripted(made: Ready, values: list[float]) -> list[State]:
    """Judge by a script; note the weights that were judged."""
    seen: list[State] = []

    def judge(_: Any) -> float:
        seen.append(made.state())
        return values[len(seen) - 1]

    assert made.watch is not None
    made.watch = Watch(made.watch.feed, judge)
    return seen


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_stops_early_and_keeps_the_best(average: float, ready: Make) -> None:
    made = ready("bert", 3, watched=10)
    seen = scripted(made, [1.0, 3.0, 2.0, 2.5, 9.0])
    reported: list[tuple[int, float]] = []
    outcome = made.go(
        replace(QUICK, epochs=5, patience=2, average=average),
        report=lambda step, value: reported.append((step, value)),
    )
    assert len(seen) == 4 and outcome.steps == 16 and outcome.epochs == 2.0
    assert reported == [(4, 1.0), (8, 3.0), (12, 2.0), (16, 2.5)]
    assert [value for _, _, value in outcome.curve if value is not None] == [1.0, 3.0, 2.0, 2.5]
    trained = {k: v for k, v in made.state().items() if "num_batches" not in k}
    assert_same(trained, {k: seen[1][k] for k in trained})


def test_without_patience_all_epochs_are_run_and_the_best_kept(ready: Make) -> None:
    made = ready("bert", 3, watched=10)
    seen = scripted(made, [3.0, 2.0, 1.0])
    outcome = made.go(QUICK)
    assert outcome.steps == 12 and outcome.epochs == 1.0
    assert_same(made.state(), seen[0])


def test_epochs_with_fewer_or_more_batches_end_where_they_end(
    ready: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long texts are cut by a budget of tokens, in another way each epoch."""
    lengths = [4, 3, 6, 2]

    def cut(costs: Any, size: int, budget: int, seed: tuple[int, ...]) -> list[Any]:
        return list(np.array_split(np.arange(len(costs)), lengths[seed[-1]]))

    monkeypatch.setattr(loop, "shuffled", cut)
    made = ready("bert", 3, watched=10)
    scripted(made, [1.0, 2.0, 3.0, 4.0])
    reported: list[int] = []
    outcome = made.go(
        replace(QUICK, epochs=4, patience=2, tokens=1), report=lambda step, _: reported.append(step)
    )
    assert reported == [4, 7, 13, 15] and outcome.steps == 15 and outcome.epochs == 4.0


def test_the_study_may_cut_a_fit(ready: Make) -> None:
    made = ready("bert", 3, watched=10)

    def hopeless(step: int, value: float) -> None:
        raise Pruned("hopeless")

    with pytest.raises(Pruned, match="hopeless"):
        made.go(QUICK, report=hopeless)


def test_fractions_of_epochs(ready: Make) -> None:
    made = ready("bert", 3)
    outcome = made.go(replace(QUICK, epochs=1.5))
    assert outcome.steps == 6 and outcome.epochs == 1.5


def test_averages_are_what_is_kept(ready: Make) -> None:
    weights: list[torch.Tensor] = []
    made = ready("bert", 4)
    watching = Counting(made.objective, lambda _: weights.append(made.net.head.weight.clone()))
    made.objective = watching
    made.go(replace(QUICK, average=0.5))
    plain = ready("bert", 4)
    plain.go(QUICK)
    wanted = weights[0]
    for step, weight in enumerate([*weights[1:], plain.net.head.weight], 1):
        wanted = wanted.lerp(weight, 1 - min(0.5, (1 + step) / (10 + step)))
    torch.testing.assert_close(made.net.head.weight, wanted, atol=1e-6, rtol=0)


def slow(seconds: Callable[[int], float]) -> Callable[[int], None]:
    return lambda step: time.sleep(seconds(step))


def test_a_deadline_shortens_the_plan(ready: Make) -> None:
    made = ready("bert", 4)
    counted = Counting(made.objective, slow(lambda _: 0.01))
    made.objective = counted
    began = time.monotonic()
    outcome = made.go(replace(QUICK, epochs=1000), deadline=began + 1.0)
    assert time.monotonic() - began < 1.3
    assert outcome.shortened and 8 < outcome.steps <= outcome.planned < 4000
    assert outcome.epochs == outcome.steps / 4


def test_steps_that_become_slower_are_planned_again(ready: Make) -> None:
    made = ready("bert", 4)
    made.objective = Counting(made.objective, slow(lambda step: 0.002 if step < 20 else 0.02))
    began = time.monotonic()
    outcome = made.go(replace(QUICK, epochs=1000), deadline=began + 1.5)
    assert time.monotonic() - began < 1.8
    assert outcome.shortened


def test_at_the_deadline_the_best_so_far_is_kept(ready: Make) -> None:
    made = ready("bert", 4, watched=10)
    seen = scripted(made, [1.0] * 99)
    began = time.monotonic()
    made.objective = Counting(made.objective, slow(lambda step: 0.0 if step < 10 else 1.0))
    outcome = made.go(replace(QUICK, epochs=10, patience=3), deadline=began + 1.0)
    assert time.monotonic() - began < 2.5
    assert outcome.shortened and outcome.epochs == 1.0
    assert_same(made.state(), seen[0])


def test_a_deadline_before_anything_is_learned(ready: Make) -> None:
    made = ready("bert", 4)
    made.feed.prepare(4)
    counted = Counting(made.objective, lambda _: None)
    made.objective = counted
    with pytest.raises(Pruned, match="time"):
        made.go(QUICK, deadline=time.monotonic() - 1)
    assert counted.steps <= 1


def test_half_an_epoch_must_fit(ready: Make) -> None:
    made = ready("bert", 4, 200)
    counted = Counting(made.objective, slow(lambda _: 0.02))
    made.objective = counted
    with pytest.raises(Pruned, match="half an epoch"):
        made.go(replace(QUICK, rows=2), deadline=time.monotonic() + 0.4)
    assert counted.steps < 20


class Broken:
    """A loss, or its gradient, that is no number from the third step on."""

    enters: None = None
    feeds = ()

    def __init__(self, inner: Any, where: str) -> None:
        self.inner, self.where, self.steps = inner, where, 0

    def __call__(self, net: Any, batch: Any) -> torch.Tensor:
        loss: torch.Tensor = self.inner(net, batch)
        self.steps += 1
        if self.steps < 3:
            return loss
        if self.where == "loss":
            return loss * math.nan
        return loss + torch.sqrt((net.head.weight * 0).sum())


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("epochs", [0.75, 2])
def test_what_is_no_number_ends_the_trial(where: str, epochs: float, ready: Make) -> None:
    made = ready("bert", 4)
    made.objective = Broken(made.objective, where)
    with pytest.raises(Pruned, match=r"nan|no number"):
        made.go(replace(QUICK, epochs=epochs))


def test_the_gradient_is_clipped(ready: Make) -> None:
    norms: list[float] = []

    class Huge:
        enters: None = None
        feeds = ()

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __call__(self, net: Any, batch: Any) -> torch.Tensor:
            loss: torch.Tensor = self.inner(net, batch)
            return loss * 1e4

    made = ready("bert", 4)
    made.objective = Huge(made.objective)

    def note(*_: Any) -> None:
        assert made.net.head.weight.grad is not None
        norms.append(float(made.net.head.weight.grad.norm()))

    handle = register_optimizer_step_pre_hook(note)
    try:
        outcome = made.go(replace(QUICK, clip=0.5))
    finally:
        handle.remove()
    assert len(norms) == outcome.steps and max(norms) <= 0.5 + 1e-4


def test_batch_norm_statistics_follow_the_rows_and_not_the_last_batch(ready: Make) -> None:
    made = ready("mobilenet", 0, 64)
    made.go(Schedule(epochs=6, rate=1e-9, head_rate=1e-9, rows=16))
    norm = next(m for m in made.net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    held: list[torch.Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _, given: held.append(given[0]))
    made.net.eval()
    with torch.no_grad():
        made.net(made.feed.inputs(np.arange(64)))
    handle.remove()
    mean = held[0].mean((0, 2, 3))
    spread = held[0].transpose(0, 1).flatten(1).std(1)
    assert ((norm.running_mean - mean).abs() < 0.3 * spread + 1e-3).all()
