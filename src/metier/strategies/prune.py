"""Structured pruning: what the loss needs least is cut out, then the rest recovers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from metier.errors import ChainError
from metier.space import Choice, Float, Int, tune
from metier.training.compression.anatomy import cut_out, find_parts
from metier.training.compression.importance import Importance, Weights, weigh
from metier.training.compression.surgery import Kept, Part, droppable, keep_blocks, operated
from metier.training.compression.teaching import Taught, hear
from metier.training.learn import Loss, learn, settled_schedule
from metier.training.net import NetModel
from metier.training.schedule import Schedule
from metier.training.start import feed_for, fresh_net
from metier.types import Form, Modality, Problem, Run, Specialist, Step

PROBED = 2
"""Rows of the passes that find and try what can be cut."""
FEWEST_BLOCKS = 1


@dataclass(frozen=True)
class Prune:
    """Cut out what the loss needs least, and let the rest recover (Michel et al., 2019).

    Attention heads, feed-forward units, channels inside residual blocks and whole blocks really
    leave the weights and the graph. What a structure is worth is the change of the loss without it,
    to first order (Molchanov et al., 2019). At least one structure is left everywhere. A share for
    what a network does not have is not heeded.

    Args:
        heads: share of the attention heads that goes.
        units: share of the feed-forward units that goes.
        channels: share of the channels between convolutions that goes.
        blocks: share of the blocks that goes; one at least is left.
        epochs: passes over the rows at most, to recover.
        rate: peak learning rate of the recovery.
        alpha: weight of what the net said before, beside the labels; 0 recovers by labels alone.
        temperature: how soft its answers are made.
        patience: epochs without a better stopping score before it ends; 0 runs them all.
        average: decay of the moving average of the weights; 0 for none.
        rows: rows a step.
        looks: rows that importance is found on.

    Raises:
        ChainError: when there is nothing that could be cut out of the network.
    """

    heads: float = tune(0.25, Float(0.0, 0.7))
    units: float = tune(0.5, Float(0.0, 0.9))
    channels: float = tune(0.3, Float(0.0, 0.7))
    blocks: float = tune(0.0, Float(0.0, 0.5))
    epochs: float = tune(4.0, Int(1, 10))
    rate: float = tune(1e-4, Float(1e-5, 1e-3, log=True))
    alpha: float = tune(0.5, Float(0.0, 1.0))
    temperature: float = tune(2.0, Choice((1.0, 2.0, 4.0)))
    patience: int = 2
    average: float = tune(0.99, Choice((0.0, 0.99)))
    rows: int = tune(32, Choice((16, 32, 64)))
    looks: int = 1024
    accepts: ClassVar[tuple[Form, ...]] = ("net",)
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        if not isinstance(start.model, NetModel):
            raise ChainError(f"prune takes a net, not {start.form}")
        smaller, gone = self._operate(start.model, problem, run)
        boundary = 1 if smaller.net.backbone.blocks else 0
        between = Specialist(start.source, start.task, smaller)
        model = fresh_net(between, problem, boundary)
        teach = None
        if self.alpha:
            lesson = hear(start.model, [problem.train], run)
            teach = partial(Taught, lesson=lesson, alpha=self.alpha, temperature=self.temperature)
        _, notes = learn(
            model, problem, run, Schedule.of(self, head_rate=self.rate * 10), Loss(), teach=teach
        )
        step = Step("prune", asdict(self), time.monotonic() - began, {**notes, "cut": gone})
        return start.then(model, step)

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: how many epochs, so that none need be held out."""
        return settled_schedule(notes)

    def _operate(
        self, parent: NetModel, problem: Problem, run: Run
    ) -> tuple[NetModel, dict[str, int]]:
        """Return the net without what is to go, which shares the other tensors, and how many
        structures of each sort went."""
        feed = feed_for(parent, problem.train, run)
        backbone = parent.net.backbone
        probe = feed.inputs(np.arange(min(PROBED, len(feed))))
        parts, free = find_parts(backbone, probe), droppable(backbone, probe)
        if not parts and not free:
            raise ChainError("prune finds nothing that could be cut out of this network")
        rows = np.random.default_rng(run.seed).permutation(len(feed))[: self.looks]
        targets = problem.task.encode(problem.train)
        found = weigh(parent.net, parts, feed, targets, problem.task, rows, run.deadline)
        blocks = self._blocks_to_keep(found, free)
        inside = [
            (part, weight)
            for part, weight in zip(parts, found.parts, strict=True)
            if part.blocks is None or set(range(part.blocks[0], part.blocks[1] + 1)) <= set(blocks)
        ]
        cuts = self._cuts(inside)
        smaller = keep_blocks(cut_out(backbone, cuts, probe), blocks, probe)
        gone = {"blocks": len(backbone.blocks) - len(blocks)}
        for part, kept in cuts:
            gone[part.sort] = gone.get(part.sort, 0) + part.count - len(kept)
        return operated(parent, smaller), gone

    def _cuts(self, weighed: Sequence[tuple[Part, Weights]]) -> list[tuple[Part, Kept]]:
        """What stays of each part."""
        found: list[tuple[Part, Kept]] = []
        for sort, share in (
            ("heads", self.heads),
            ("units", self.units),
            ("channels", self.channels),
        ):
            own = [(part, weight) for part, weight in weighed if part.sort == sort]
            kept = _survivors([weight for _, weight in own], share)
            found.extend(zip((part for part, _ in own), kept, strict=True))
        return found

    def _blocks_to_keep(self, found: Importance, free: Sequence[int]) -> list[int]:
        """All blocks but the least important ones of those that can go."""
        count = len(found.blocks)
        many = min(round(self.blocks * count), len(free), max(count - FEWEST_BLOCKS, 0))
        dropped = sorted(free, key=lambda k: (found.blocks[k], k))[:many]
        return [k for k in range(count) if k not in dropped]


def _survivors(weights: Sequence[Weights], share: float) -> list[Kept]:
    """Which structures of each part stay when a share of all goes, the least important first.

    The best of each part always stays.
    """
    ranked = [np.argsort(weight, kind="stable") for weight in weights]
    mortal = [(weights[i][k], i, int(k)) for i, order in enumerate(ranked) for k in order[:-1]]
    many = round(share * sum(len(weight) for weight in weights))
    gone = [set[int]() for _ in weights]
    for _, i, k in sorted(mortal)[:many]:
        gone[i].add(k)
    return [
        np.array([k for k in range(len(weight)) if k not in lost], dtype=np.int64)
        for weight, lost in zip(weights, gone, strict=True)
    ]
