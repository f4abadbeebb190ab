"""What is left of a fit after a kill, and of one that went back: the very same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from metier.training import loop
from metier.training.checkpoint import restore
from metier.training.loop import Watch
from metier.training.objectives import Batch, Objective
from metier.training.schedule import Schedule

from .conftest import QUICK, Counting, Make, Ready, State, assert_same, changed


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
