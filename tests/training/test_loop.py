"""The loop: what learns, how fast, until when, and what is left after a kill."""

from __future__ import annotations

import gc
import json
import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from metier.cache import Cache
from metier.errors import Pruned
from metier.training import loop
from metier.training.checkpoint import restore
from metier.training.loop import Watch
from metier.training.objectives import Batch, Objective
from metier.training.schedule import Schedule

from .conftest import Counting, Ready

Make = Callable[..., Ready]
State = dict[str, torch.Tensor]
QUICK = Schedule(epochs=3, rate=1e-3, rows=16)


def assert_same(one: State, two: State) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


def changed(one: State, two: State) -> set[str]:
    return {name for name, value in one.items() if not torch.equal(value, two[name])}


def level(net: Any, name: str) -> int:
    """Below which boundary a weight of the state lies; the head above all."""
    if not name.startswith("backbone."):
        return int(net.backbone.depth)
    return int(net.backbone.level_of(name.removeprefix("backbone.")))


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

    def worth(self, targets: torch.Tensor) -> float:
        inner: Any = self.inner
        return float(inner.worth(targets))

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


def test_batch_norms_see_all_rows_of_a_step(ready: Make) -> None:
    made, frozen = ready("mobilenet", 0, 40), ready("vit", 0, 40)
    for each in (made, frozen):
        each.feed.portion = 4
        each.objective = Pieced(each.objective, lambda _: None)
        each.go(QUICK)
    sizes: Any = (made.objective, frozen.objective)
    assert max(sizes[0].sizes) == QUICK.rows and max(sizes[1].sizes) == 4


def test_an_objective_that_is_no_mean_of_rows_gets_whole_batches(ready: Make) -> None:
    made = ready("bert", 0, 40)
    made.feed.portion = 40
    made.objective = Counting(made.objective, lambda _: None)
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


class Killed(BaseException):
    """A kill, as far as Python can see one."""


def kill_at(step: int) -> Callable[[int], None]:
    def then(done: int) -> None:
        if done == step:
            raise Killed

    return then


@pytest.mark.parametrize(
    ("name", "step"), [*(("bert", step) for step in (2, 5, 8, 9, 15)), ("mobilenet", 6)]
)
def test_a_killed_fit_resumes_to_the_very_same_weights(
    name: str, step: int, ready: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps an epoch: kills in the middle, on the last step and on the first one of epochs."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    boundary = 0 if name == "bert" else 4
    schedule = replace(QUICK, epochs=4, average=0.9, patience=4, unfreeze=0.5)

    def begin() -> Ready:
        made = ready(name, boundary, 60, watched=20)
        made.net.dropout.p = 0.2
        return made

    whole = begin()
    outcome = whole.go(schedule)
    assert outcome.steps == 16

    killed = begin()
    killed.objective = Counting(killed.objective, kill_at(step))
    with pytest.raises(Killed):
        killed.go(schedule, folder=tmp_path)
    resumed = begin()
    counted = Counting(resumed.objective, lambda _: None)
    resumed.objective = counted
    again = resumed.go(schedule, folder=tmp_path)
    assert counted.steps == 16 - (step - 1), "it went on where it was"
    assert_same(whole.state(), resumed.state())
    assert (again.curve, again.epochs) == (outcome.curve, outcome.epochs)


def test_killed_while_judging(ready: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written last is of the epoch that was not judged yet: it is judged after all."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    schedule = replace(QUICK, epochs=3, patience=3)
    whole = ready("bert", 0, 60, watched=20)
    outcome = whole.go(schedule)
    killed = ready("bert", 0, 60, watched=20)
    assert killed.watch is not None
    judge, judged = killed.watch.judge, []

    def dies(scores: Any) -> float:
        judged.append(scores)
        if len(judged) == 2:
            raise Killed
        return float(judge(scores))

    killed.watch = Watch(killed.watch.feed, dies)
    with pytest.raises(Killed):
        killed.go(schedule, folder=tmp_path)
    resumed = ready("bert", 0, 60, watched=20)
    again = resumed.go(schedule, folder=tmp_path)
    assert_same(whole.state(), resumed.state())
    assert again.curve == outcome.curve and again.epochs == outcome.epochs


def test_a_checkpoint_of_another_fit_is_not_taken_up(
    ready: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    first = ready("bert", 2)
    first.go(QUICK, folder=tmp_path)
    assert restore(tmp_path) is not None
    others: list[tuple[Schedule, dict[str, Any], int]] = [
        (replace(QUICK, rate=2e-3), {}, 60),
        (QUICK, {"seed": 1}, 60),
        (QUICK, {}, 56),
    ]
    for schedule, run, n in others:
        clean, beside = ready("bert", 2, n), ready("bert", 2, n)
        clean.go(schedule, **run)
        beside.go(schedule, folder=tmp_path, **run)
        assert_same(clean.state(), beside.state())


def test_the_checkpoint_holds_no_pickle(
    ready: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    made = ready("bert", 0, watched=20)
    made.go(replace(QUICK, average=0.9, patience=2), folder=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert {"kept.0", "average.0", "best.0", "optimizer.0.exp_avg", "random"} <= header.keys()
    found = restore(tmp_path)
    assert found is not None and found.facts["step"] == 11


@dataclass
class Fickle:
    """A guard that finds something amiss at the epochs named, each once."""

    amiss: list[int]
    turns: int = 0
    asked: list[State] = field(default_factory=list)

    def begin(self, turns: int) -> None:
        self.turns = turns

    def astray(self, net: Any, batch: Batch) -> dict[str, Any] | None:
        self.asked.append({name: value.clone() for name, value in net.state_dict().items()})
        assert len(batch.targets) == 60
        found = self.turns < len(self.amiss) and batch.done >= self.amiss[self.turns] / 4
        return {"seen": self.turns} if found else None


@dataclass
class Scaled:
    """An objective that its guard turns round."""

    inner: Objective
    guard: Fickle
    enters: None = None
    feeds: tuple[()] = ()

    def __call__(self, net: Any, batch: Batch) -> torch.Tensor:
        loss = self.inner(net, batch)
        return -loss if self.guard.turns % 2 else loss


def guarded(ready: Make, amiss: list[int]) -> tuple[Ready, Fickle]:
    made, guard = ready("mobilenet"), Fickle(amiss)
    made.objective = Scaled(made.objective, guard)
    made.run = made.run.with_guard(guard)
    return made, guard


def test_a_fit_goes_back_to_where_its_guard_found_nothing_and_goes_on_from_there(
    ready: Make,
) -> None:
    schedule = replace(QUICK, epochs=4, average=0.9)
    made, guard = guarded(ready, [1, 3])
    outcome = made.go(schedule)
    assert outcome.steps == 16 and outcome.epochs == 4.0
    assert [turn["epoch"] for turn in outcome.turns] == [1.0, 3.0]
    assert [turn["seen"] for turn in outcome.turns] == [0, 1] and guard.turns == 2
    assert len(guard.asked) == 6, "an epoch at the start and one in the middle were run again"
    assert [step for step, _, _ in outcome.curve] == sorted({s for s, _, _ in outcome.curve})

    plain, silent = guarded(ready, [])
    assert plain.go(schedule).turns == []
    assert_same(silent.asked[0], guard.asked[0])
    assert changed(silent.asked[0], guard.asked[1]), "the same epoch under another loss"
    whole, _ = guarded(ready, [1])
    whole.go(schedule)
    assert changed(whole.state(), made.state())


@pytest.mark.parametrize("step", [3, 6, 15])
def test_a_guarded_fit_that_was_killed_resumes_to_the_very_same_weights(
    step: int, ready: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    schedule = replace(QUICK, epochs=4, average=0.9)
    whole, _ = guarded(ready, [1, 3])
    outcome = whole.go(schedule)
    killed, _ = guarded(ready, [1, 3])
    killed.objective = Counting(killed.objective, kill_at(step))
    with pytest.raises(Killed):
        killed.go(schedule, folder=tmp_path)
    resumed, _ = guarded(ready, [1, 3])
    again = resumed.go(schedule, folder=tmp_path)
    assert_same(whole.state(), resumed.state())
    assert (again.turns, again.curve) == (outcome.turns, outcome.curve)


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


def test_lower_blocks_learn_at_lower_rates(ready: Make) -> None:
    """After one step Adam has moved each weight by its rate, whatever its gradient was."""
    made = ready("bert")
    before = made.state()
    schedule = Schedule(
        epochs=0.1, rate=0.1, head_rate=0.7, layer_decay=0.5, weight_decay=0.0, rows=30, clip=0.0
    )
    assert made.go(schedule).steps == 1
    after = made.state()
    depth = made.net.backbone.depth
    for lowest, name in enumerate(("word_embeddings", "layer.0.", "layer.1.", "layer.2.", "head")):
        moved = torch.cat([(after[k] - before[k]).abs().flatten() for k in before if name in k])
        rate = 0.7 if name == "head" else 0.1 * 0.5 ** (depth - 1 - lowest)
        assert moved[moved > 0].median() == pytest.approx(1e-3 * rate, rel=0.05), name


def test_gradual_unfreezing_leaves_lower_blocks_alone_at_first(ready: Make) -> None:
    made = ready("bert", 1)
    before = made.state()
    seen: dict[int, set[int]] = {}

    def note(step: int) -> None:
        seen[step] = {level(made.net, key) for key in changed(before, made.state())}

    made.objective = Counting(made.objective, note)
    made.go(replace(QUICK, epochs=10, unfreeze=1.0, weight_decay=0.1))
    depth = made.net.backbone.depth
    assert seen[1] == set()
    assert seen[8] == {depth} and seen[15] == {depth, depth - 2}
    assert seen[40] == {1, 2, 3, depth}
    woken = [min(levels) for levels in seen.values() if levels]
    assert woken == sorted(woken, reverse=True)


def test_weights_decay_but_not_biases_norms_and_embeddings(ready: Make) -> None:
    made = ready("bert")
    decaying, plain = made, ready("bert")
    schedule = replace(QUICK, epochs=5, rate=1e-3)
    decaying.go(replace(schedule, weight_decay=50.0))
    plain.go(replace(schedule, weight_decay=0.0))
    one, two = decaying.state(), plain.state()
    key = "backbone.model.encoder.layer.1.output.dense.weight"
    assert one[key].norm() < 0.95 * two[key].norm()
    spare = "backbone.model.embeddings.word_embeddings.weight"
    assert torch.equal(one[spare][5:25], ready("bert").state()[spare][5:25])


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
