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
from dataclasses import dataclass
from functools import partial
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
from metier.training.schedule import Schedule, set_rates
from metier.training.standing import Outcome, Standing
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
            for parameter in session.at.learning:
                parameter.grad = None
            # Fused steps and batch norms change numbers behind autograd's back, and activations
            # are kept by version.
            for tensor in session.at.kept:
                torch.autograd.graph.increment_version(tensor)


class _Session:
    """One fit under way: where it stands (`at`), and how it goes on from there."""

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
        self.at = Standing(net, schedule, lowest)
        # An accelerator has use for all rows at once.
        least = NORMED if self.at.normed else 1
        self.portion = None if self.device.type != "cpu" else max(feed.portion, least)
        self.epochs = _epochs(self.costs, schedule, run.seed, boundary == net.backbone.depth, deal)
        self.at.outcome.boundary = boundary
        self.at.outcome.planned = self.epochs.steps(schedule.epochs)
        self.mark = "" if run.folder is None else self._mark()
        self.written = 0.0
        self.good: Checkpoint | None = None

    def run_to_end(self) -> Outcome:
        """Step until the schedule, the stopping rows, the study or the deadline ends it."""
        started = time.monotonic()
        torch.manual_seed(self.run.seed)
        self._take_up()
        self._be_guarded()
        self.written = time.monotonic()
        clock: deque[float] = deque(maxlen=8 * WARM_STEPS)
        at, outcome = self.at, self.at.outcome
        while at.step < outcome.planned:
            epoch, batches = self.epochs.left_in(at.step)
            for rows in batches:
                began = time.monotonic()
                self._learn(rows, epoch)
                clock.append(time.monotonic() - began)
                if len(clock) >= WARM_STEPS and at.step % WARM_STEPS == 0:
                    self._fit_in(float(np.mean(clock)))
                if self._is_late() or at.step >= outcome.planned:
                    break
                # The end of an epoch is written down after it was judged.
                if not self.epochs.ends_at(at.step):
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
        outcome.steps = at.step
        outcome.seconds = time.monotonic() - started
        return outcome

    def _learn(self, rows: NDArray[np.int64], epoch: int) -> None:
        at, seen = self.at, self.feed.seen_in(epoch)
        set_rates(at.optimizer, self.schedule, at.done)
        at.optimizer.zero_grad(set_to_none=True)
        value = 0.0
        for piece, share in self._pieces(rows):
            with _autocast(self.device):
                loss = share * self.objective(self.net, self._batch(seen, piece))
            value += float(loss.detach())
            if not math.isfinite(value):
                raise Pruned(f"the loss is {value} at step {at.step}")
            loss.backward()
        if self.schedule.clip:
            torch.nn.utils.clip_grad_norm_(at.learning, self.schedule.clip, foreach=True)
        at.optimizer.step()
        at.step += 1
        at.follow(self.schedule.average)
        every = max(1, at.outcome.planned // 60)
        if at.step % every == 0 or at.step == 1:
            at.outcome.curve.append((at.step, value, None))

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
        boundary = self.boundary
        whole = boundary == self.net.backbone.depth
        inputs = {} if whole else seen.inputs(rows, light=boundary > 0)
        targets = self.targets[torch.from_numpy(rows)]
        hidden, digests = seen.hidden(rows, boundary), self.feed.digests[rows]
        return Batch(inputs, hidden, boundary, targets, digests, self.at.done)

    def _fit_in(self, seconds: float) -> None:
        """Plan fewer steps when the deadline leaves no time for all."""
        if self.run.deadline is None:
            return
        outcome = self.at.outcome
        left = self.run.deadline - time.monotonic()
        evaluations = 0.15 if self.watch is not None else 0.05
        possible = self.at.step + int(left * (1 - evaluations) / max(seconds, 1e-6))
        if possible < outcome.planned:
            if possible < min(self.epochs.length(0), outcome.planned) // 2:
                raise Pruned("out of time: not half an epoch fits in what is left")
            outcome.planned = possible
            outcome.shortened = True

    def _is_late(self) -> bool:
        return self.run.deadline is not None and time.monotonic() > self.run.deadline

    def _end_early(self) -> None:
        """The deadline came before the plan was through: what was best so far is kept."""
        if self.at.step < self.at.outcome.planned and not self.at.best:
            raise Pruned("out of time")
        self.at.outcome.shortened = True

    def _be_guarded(self) -> None:
        if self.run.guard is not None:
            self.run.guard.begin(len(self.at.outcome.turns))
        self._remember()

    def _remember(self) -> None:
        """Keep where a guarded fit stands, to go back to."""
        if self.run.guard is not None:
            self.good = self.at.written(self.mark).copied()

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
        turns = [*self.at.outcome.turns, {**seen, "epoch": self.epochs.done(self.at.step)}]
        self.at.return_to(good)
        self.at.outcome.turns = turns
        self._be_guarded()
        return True

    def _ended(self) -> bool:
        return self.epochs.ends_at(self.at.step) or self.at.step >= self.at.outcome.planned

    def _stops(self) -> bool:
        """Judge at the end of an epoch; True when patience is over."""
        if self.watch is None or not self._ended():
            return False
        at, curve = self.at, self.at.outcome.curve
        own = at.weights()
        at.wear(at.averages)
        value = float(self.watch.judge(score(self.net, self.watch.feed, self.boundary)))
        self.net.train_above(self.lowest)
        curve.append((at.step, curve[-1][1] if curve else math.nan, value))
        at.judged(value, self.epochs.done(at.step))
        at.wear(own)
        self.run.report(at.step, value)
        return bool(self.schedule.patience) and at.bad >= self.schedule.patience

    def _keep_best(self) -> None:
        at = self.at
        at.wear(at.best or at.averages)
        at.outcome.epochs = at.best_epoch if at.best else self.epochs.done(at.step)
        if not all(bool(torch.isfinite(p).all()) for p in at.kept):
            raise Pruned("the weights are no numbers any more")

    def _mark(self) -> str:
        """What a checkpoint must be of to be taken up: the same start, schedule, rows and seed."""
        rows = hashlib.blake2b(self.targets.cpu().numpy().tobytes() + self.costs.tobytes())
        return fingerprint(
            self.at.fingerprint(), rows.hexdigest(), self.schedule, self.boundary, self.run.seed
        )

    def _write_down_if_due(self) -> None:
        if self.run.folder is None or time.monotonic() - self.written < CHECKPOINT_SECONDS:
            return
        # Of a guarded fit, only what was found well is worth going on from.
        save(self.run.folder, self.good or self.at.written(self.mark))
        self.written = time.monotonic()

    def _take_up(self) -> None:
        """Go on from a checkpoint, if there is one of this very fit."""
        found = None if self.run.folder is None else restore(self.run.folder)
        if found is not None and found.facts.get("mark") == self.mark:
            self.at.return_to(found)


def _epochs(
    costs: NDArray[np.int64], schedule: Schedule, seed: int, whole: bool, deal: Deal | None
) -> Epochs:
    """How each epoch cuts the rows; `whole` says that all of a row is cached, so that no row costs
    more than another."""
    if deal is not None:
        return Epochs(partial(deal, costs), alike=True)
    budget = 1 << 30 if whole else schedule.tokens
    alike = int(costs.max()) * schedule.rows <= budget
    return Epochs(lambda epoch: shuffled(costs, schedule.rows, budget, (seed, epoch)), alike)


def _autocast(device: torch.device) -> Any:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
