"""The training loop: the only one.

It learns whatever parameters of a net ask for gradients, from whatever the objective says. What
is frozen is computed once: the loop finds the deepest frozen prefix and trains on activations kept
at its boundary. It stops early on rows of its own, keeps the best or the averaged weights, goes
back where a guard says so, can be killed and resumed in the middle of an epoch (a guarded fit at
its beginning), and never runs past its deadline.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metier.cache import fingerprint
from metier.errors import Pruned
from metier.memory import freed_kept
from metier.training.augment import Views
from metier.training.batches import pieces, shuffled
from metier.training.checkpoint import Checkpoint, restore, save
from metier.training.clipping import light_clips
from metier.training.dealing import Deal
from metier.training.dropout import quick_dropout
from metier.training.epochs import Epochs
from metier.training.feed import Feed
from metier.training.net import Net, score
from metier.training.objectives import Batch, Divisible, Objective
from metier.training.schedule import Schedule, grouped, set_rates
from metier.training.vocabulary import compacted
from metier.types import Run

CHECKPOINT_SECONDS = 20.0
WARM_STEPS = 8
"""Steps after which the loop knows how long one takes."""
GUARDED = 64
"""Rows that a guard is shown."""
NORMED = 16
"""Rows that a batch norm sees together at least, where a step has as many."""


@dataclass(frozen=True)
class Watch:
    """Rows that say when to stop: their feed, and a score of predictions (higher is better)."""

    feed: Feed
    judge: Any


@dataclass
class Outcome:
    """What a fit did: steps taken and planned, epochs of the weights kept, and its curves."""

    steps: int = 0
    planned: int = 0
    epochs: float = 0.0
    curve: list[tuple[int, float, float | None]] = field(default_factory=list)
    seconds: float = 0.0
    boundary: int = 0
    shortened: bool = False
    """Whether the deadline cut the schedule short: the fit is then one that a clock decided."""
    turns: list[dict[str, Any]] = field(default_factory=list)
    """What the run's guard saw each time that the fit went back, and after how many epochs."""


@freed_kept()
def fit(
    net: Net,
    feed: Feed | Views,
    targets: NDArray[Any],
    objective: Objective,
    schedule: Schedule,
    run: Run,
    watch: Watch | None = None,
    deal: Deal | None = None,
) -> Outcome:
    """Train what asks for gradients in `net`, in place.

    `targets` (n, ...) belong to the rows of `feed`; `deal` says which rows make a batch, where
    that is not left to chance. Raises Pruned when the study gives up on the
    trial, when the deadline leaves no time for half an epoch's worth of learning or comes before
    there is anything to keep, or when the loss or a weight is no number.
    """
    lowest = net.backbone.frozen_depth()
    enters = objective.enters
    boundary = feed.prepare(lowest if enters is None else min(lowest, enters))
    if watch is not None:
        watch.feed.prepare(boundary)
    net.train_above(lowest)
    read: list[Feed | Views] = [feed, *([] if watch is None else [watch.feed]), *objective.feeds]
    with compacted(net, read), quick_dropout(net), light_clips(net):
        session = _Session(
            net, feed, targets, objective, schedule, run, watch, lowest, boundary, deal
        )
        try:
            return session.run_to_end()
        finally:
            for parameter in session.learning:
                parameter.grad = None
            # Fused steps and batch norms change numbers behind autograd's back, and activations
            # are kept by version.
            for tensor in session.kept:
                torch.autograd.graph.increment_version(tensor)


class _Session:
    """One fit under way: the loop's state, so that it can be written down and taken up again."""

    def __init__(
        self,
        net: Net,
        feed: Feed | Views,
        targets: NDArray[Any],
        objective: Objective,
        schedule: Schedule,
        run: Run,
        watch: Watch | None,
        lowest: int,
        boundary: int,
        deal: Deal | None,
    ) -> None:
        self.net, self.feed, self.objective = net, feed, objective
        self.schedule, self.run, self.watch = schedule, run, watch
        self.lowest, self.boundary = lowest, boundary
        self.device = net.head.weight.device
        self.targets = torch.as_tensor(targets).to(self.device)
        self.costs = feed.costs if boundary < net.backbone.depth else np.ones(len(feed), np.int64)
        self.groups = grouped(net, schedule)
        self.optimizer = torch.optim.AdamW(self.groups, fused=True)
        self.learning = [p for group in self.groups for p in group["params"]]
        self.kept = [*self.learning, *_statistics(net, lowest, ("running_mean", "running_var"))]
        # An accelerator has use for all rows at once.
        normed = len(self.kept) > len(self.learning)
        least = NORMED if normed else 1
        self.portion = None if self.device.type != "cpu" else max(feed.portion, least)
        self.counts = _statistics(net, lowest, ("num_batches_tracked",))
        self.averages = [p.detach().clone() for p in self.kept] if schedule.average else []
        self.best: list[torch.Tensor] = []
        self.best_score = -math.inf
        self.best_epoch = 0.0
        self.bad = 0
        self.step = 0
        self.saved = 0.0
        self.good: Checkpoint | None = None
        self.outcome = Outcome(boundary=boundary)
        self.epochs = _epochs(self.costs, schedule, run.seed, boundary == net.backbone.depth, deal)
        self.outcome.planned = self.epochs.steps(schedule.epochs)
        self.mark = "" if run.folder is None else self._mark()

    def run_to_end(self) -> Outcome:
        """Step until the schedule, the stopping rows, the study or the deadline ends it."""
        started = time.monotonic()
        torch.manual_seed(self.run.seed)
        self._take_up()
        self._be_guarded()
        self.saved = time.monotonic()
        clock: deque[float] = deque(maxlen=8 * WARM_STEPS)
        while self.step < self.outcome.planned:
            epoch, batches = self.epochs.left_in(self.step)
            for rows in batches:
                began = time.monotonic()
                self._learn(rows, epoch)
                clock.append(time.monotonic() - began)
                if len(clock) >= WARM_STEPS and self.step % WARM_STEPS == 0:
                    self._fit_in(float(np.mean(clock)))
                if self._is_late():
                    break
                if self.step >= self.outcome.planned:
                    break
                # The end of an epoch is written down after it was judged.
                if not self.epochs.ends_at(self.step):
                    self._write_down_if_due()
            if self._goes_back():
                continue
            if self._is_late():
                self._end_early()
                break
            if self._stops():
                break
            self._remember()
            self._write_down_if_due()
        self._keep_best()
        self.outcome.steps = self.step
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    def _learn(self, rows: NDArray[np.int64], epoch: int) -> None:
        seen = self.feed.seen_in(epoch)
        set_rates(self.optimizer, self.schedule, self.step / self.outcome.planned)
        self.optimizer.zero_grad(set_to_none=True)
        value = 0.0
        for piece, share in self._pieces(rows):
            with _autocast(self.device):
                loss = share * self.objective(self.net, self._batch(seen, piece))
            value += float(loss.detach())
            if not math.isfinite(value):
                raise Pruned(f"the loss is {value} at step {self.step}")
            loss.backward()
        if self.schedule.clip:
            torch.nn.utils.clip_grad_norm_(self.learning, self.schedule.clip, foreach=True)
        self.optimizer.step()
        self.step += 1
        if self.averages:
            follow = 1 - min(self.schedule.average, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                floats = [(a, p) for a, p in zip(self.averages, self.kept, strict=True)]
                torch._foreach_lerp_([a for a, _ in floats], [p for _, p in floats], follow)
        self._note(value)

    def _pieces(self, rows: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], float]]:
        """The rows of a step in pieces, and what each counts in their mean: only the activations of
        one piece are there at a time."""
        if self.portion is None or not isinstance(self.objective, Divisible):
            return [(rows, 1.0)]
        found = pieces(rows, self.costs[rows], self.portion)
        if len(found) == 1:
            return [(rows, 1.0)]
        counts = [self.objective.counted(self.targets[torch.from_numpy(each)]) for each in found]
        worth = [each for each in counts if each is not None]
        if len(worth) < len(found):
            return [(rows, 1.0)]
        return [(each, own / sum(worth)) for each, own in zip(found, worth, strict=True)]

    def _batch(self, seen: Feed | Views, rows: NDArray[np.int64]) -> Batch:
        at = self.boundary
        inputs = {} if at == self.net.backbone.depth else seen.inputs(rows, light=at > 0)
        targets = self.targets[torch.from_numpy(rows)]
        done = self.step / self.outcome.planned
        return Batch(inputs, seen.hidden(rows, at), at, targets, self.feed.digests[rows], done)

    def _note(self, loss: float) -> None:
        curve = self.outcome.curve
        every = max(1, self.outcome.planned // 60)
        if self.step % every == 0 or self.step == 1:
            curve.append((self.step, loss, None))

    def _fit_in(self, seconds: float) -> None:
        """Plan fewer steps when the deadline leaves no time for all."""
        if self.run.deadline is None:
            return
        left = self.run.deadline - time.monotonic()
        evaluations = 0.15 if self.watch is not None else 0.05
        possible = self.step + int(left * (1 - evaluations) / max(seconds, 1e-6))
        if possible < self.outcome.planned:
            if possible < min(self.epochs.length(0), self.outcome.planned) // 2:
                raise Pruned("out of time: not half an epoch fits in what is left")
            self.outcome.planned = possible
            self.outcome.shortened = True

    def _is_late(self) -> bool:
        return self.run.deadline is not None and time.monotonic() > self.run.deadline

    def _end_early(self) -> None:
        """The deadline came before the plan was through: what was best so far is kept."""
        if self.step < self.outcome.planned and not self.best:
            raise Pruned("out of time")
        self.outcome.shortened = True

    def _be_guarded(self) -> None:
        if self.run.guard is not None:
            self.run.guard.begin(len(self.outcome.turns))
        self._remember()

    def _remember(self) -> None:
        """Keep where a guarded fit stands, to go back to."""
        if self.run.guard is not None:
            self.good = _copied(self._state())

    def _goes_back(self) -> bool:
        """Ask the guard at the end of an epoch; True when the fit went back to where it was well,
        to go on from there as the guard has changed."""
        guard, good = self.run.guard, self.good
        if guard is None or good is None or not self._ended():
            return False
        rows = np.random.default_rng(self.run.seed).permutation(len(self.feed))[:GUARDED]
        with _autocast(self.device):
            seen = guard.astray(self.net, self._batch(self.feed, np.sort(rows)))
        if seen is None:
            return False
        turns = [*self.outcome.turns, {**seen, "epoch": self.epochs.done(self.step)}]
        self._return_to(good)
        self.outcome.turns = turns
        self._be_guarded()
        return True

    def _ended(self) -> bool:
        return self.epochs.ends_at(self.step) or self.step >= self.outcome.planned

    def _stops(self) -> bool:
        """Judge at the end of an epoch; True when patience is over."""
        if self.watch is None or not self._ended():
            return False
        weights = [p.detach().clone() for p in self.kept]
        if self.averages:
            _assign(self.kept, self.averages)
        value = float(self.watch.judge(score(self.net, self.watch.feed, self.boundary)))
        self.net.train_above(self.lowest)
        last = self.outcome.curve[-1] if self.outcome.curve else (self.step, math.nan, None)
        self.outcome.curve.append((self.step, last[1], value))
        if value > self.best_score:
            self.best_score, self.best_epoch, self.bad = value, self.epochs.done(self.step), 0
            self.best = [p.detach().clone() for p in self.kept]
        else:
            self.bad += 1
        _assign(self.kept, weights)
        self.run.report(self.step, value)
        return bool(self.schedule.patience) and self.bad >= self.schedule.patience

    def _keep_best(self) -> None:
        if self.best:
            _assign(self.kept, self.best)
            self.outcome.epochs = self.best_epoch
        else:
            if self.averages:
                _assign(self.kept, self.averages)
            self.outcome.epochs = self.epochs.done(self.step)
        if not all(bool(torch.isfinite(p).all()) for p in self.kept):
            raise Pruned("the weights are no numbers any more")

    def _mark(self) -> str:
        """What a checkpoint must be of to be taken up: the same start, schedule, rows and seed."""
        weights = hashlib.blake2b(digest_size=16)
        for tensor in self.kept:
            weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        rows = hashlib.blake2b(self.targets.cpu().numpy().tobytes() + self.costs.tobytes())
        return fingerprint(
            weights.hexdigest(), rows.hexdigest(), self.schedule, self.boundary, self.run.seed
        )

    def _write_down_if_due(self) -> None:
        if self.run.folder is None or time.monotonic() - self.saved < CHECKPOINT_SECONDS:
            return
        self._write_down(self.run.folder)
        self.saved = time.monotonic()

    def _write_down(self, folder: Path) -> None:
        # Of a guarded fit, only what was found well is worth going on from.
        save(folder, self.good or self._state())

    def _state(self) -> Checkpoint:
        """Where the fit stands; the tensors are those that go on learning."""
        tensors: dict[str, torch.Tensor] = {"random": torch.get_rng_state()}
        for name, held in (
            ("kept", self.kept),
            ("count", self.counts),
            ("average", self.averages),
            ("best", self.best),
        ):
            tensors.update({f"{name}.{i}": t.detach() for i, t in enumerate(held)})
        for i, parameter in enumerate(self.learning):
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{i}.{key}"] = value
        facts = {
            "mark": self.mark,
            "step": self.step,
            "planned": self.outcome.planned,
            "shortened": self.outcome.shortened,
            "turns": self.outcome.turns,
            "curve": list(self.outcome.curve),
            "best_score": self.best_score if self.best else None,
            "best_epoch": self.best_epoch,
            "bad": self.bad,
        }
        return Checkpoint(tensors, facts)

    def _take_up(self) -> None:
        """Go on from a checkpoint, if there is one of this very fit."""
        found = None if self.run.folder is None else restore(self.run.folder)
        if found is not None and found.facts.get("mark") == self.mark:
            self._return_to(found)

    def _return_to(self, found: Checkpoint) -> None:
        tensors, facts = found.tensors, found.facts
        _assign(self.kept, [tensors[f"kept.{i}"] for i in range(len(self.kept))])
        _assign(self.counts, [tensors[f"count.{i}"] for i in range(len(self.counts))])
        self.averages = [tensors[f"average.{i}"] for i in range(len(self.averages))]
        self.best, self.best_score = [], -math.inf
        if facts["best_score"] is not None:
            self.best = [tensors[f"best.{i}"] for i in range(len(self.kept))]
            self.best_score = facts["best_score"]
        for i, parameter in enumerate(self.learning):
            self.optimizer.state[parameter] = {
                key: tensors[f"optimizer.{i}.{key}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{i}.{key}" in tensors
            }
        self.step, self.bad = facts["step"], facts["bad"]
        self.best_epoch = facts["best_epoch"]
        self.outcome.planned, self.outcome.shortened = facts["planned"], facts["shortened"]
        self.outcome.turns = list(facts["turns"])
        self.outcome.curve = [(int(s), float(t), v) for s, t, v in facts["curve"]]
        torch.set_rng_state(tensors["random"])


def _epochs(
    costs: NDArray[np.int64], schedule: Schedule, seed: int, whole: bool, deal: Deal | None
) -> Epochs:
    """How each epoch cuts the rows; `whole` says that all of a row is cached, so that no row costs
    more than another."""
    if deal is not None:
        return Epochs(partial(deal, costs), alike=False)
    budget = 1 << 30 if whole else schedule.tokens
    alike = int(costs.max()) * schedule.rows <= budget
    return Epochs(lambda epoch: shuffled(costs, schedule.rows, budget, (seed, epoch)), alike)


def _copied(state: Checkpoint) -> Checkpoint:
    return Checkpoint({name: value.clone() for name, value in state.tensors.items()}, state.facts)


def _autocast(device: torch.device) -> Any:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def _assign(into: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(into, values, strict=True):
            target.copy_(value)


def _statistics(net: Net, lowest: int, names: tuple[str, ...]) -> list[torch.Tensor]:
    """The batch-norm statistics of these names that training changes: those above the boundary."""
    return [
        buffer
        for name, buffer in net.backbone.named_buffers()
        if name.endswith(names) and net.backbone.level_of(name) >= lowest
    ]
