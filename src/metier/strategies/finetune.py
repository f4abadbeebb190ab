"""Fine-tuning: the head first, then the top blocks or everything."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from metier.runtime.postprocess import TaskKind
from metier.space import Choice, Float, Int, tune
from metier.training.augment import VIEWS
from metier.training.learn import Loss, learn, learned_from, settled_schedule
from metier.training.mixing import mixing
from metier.training.net import NetModel
from metier.training.schedule import Schedule
from metier.training.start import fresh_net, give_head
from metier.types import Form, Modality, Problem, Run, Specialist, Step


@dataclass(frozen=True)
class Finetune:
    """Train the source on the task, head first (LP-FT; Kumar et al., 2022).

    A linear head is fitted on the frozen features, then the head and what `train` names learn on
    together. What stays frozen is computed once.

    Args:
        train: "head", "top" (the highest `blocks` blocks) or "all"; "auto" takes "top" for
            classification and "all" for regression, which profits from a broader set of layers.
        blocks: how many blocks "top" means, as a share of all.
        epochs: passes over the rows at most.
        rate: peak learning rate of the top block.
        layer_decay: each block learns at this share of the rate of the one above (Howard and
            Ruder, 2018).
        weight_decay: decoupled weight decay.
        dropout: before the head.
        smoothing: label smoothing.
        patience: epochs without a better stopping score before it ends; 0 runs them all.
        average: decay of the moving average of the weights; 0 for none.
        unfreeze: share of the steps over which the blocks begin to learn, top first.
        rows: rows a step.
        head_first: fit the head on frozen features before anything else learns.
        balanced: weigh classes alike in the loss.
        augment: read changed views of the rows beside the rows themselves: "light" or "strong".
        views: how many views of a row there are, itself included; each epoch reads one.
        mixup: of the Beta distribution by which rows are mixed with others; 0 mixes none.
    """

    train: Literal["auto", "head", "top", "all"] = tune("auto", Choice(("top", "all")))
    blocks: float = tune(0.34, Float(0.15, 0.7))
    epochs: float = tune(6.0, Int(2, 12))
    rate: float = tune(1e-4, Float(1e-5, 1e-3, log=True))
    layer_decay: float = tune(0.9, Float(0.7, 1.0))
    weight_decay: float = tune(0.01, Float(1e-4, 0.1, log=True))
    dropout: float = tune(0.1, Float(0.0, 0.4))
    smoothing: float = tune(0.0, Float(0.0, 0.2))
    patience: int = 2
    average: float = tune(0.99, Choice((0.0, 0.99)))
    unfreeze: float = tune(0.0, Choice((0.0, 0.3)))
    rows: int = tune(32, Choice((16, 32, 64)))
    head_first: bool = True
    balanced: bool = tune(False, Choice((False, True)))
    augment: Literal["none", "light", "strong"] = tune("none", Choice(("none", "light", "strong")))
    views: int = VIEWS
    mixup: float = tune(0.0, Choice((0.0, 0.2)))
    accepts: ClassVar[tuple[Form, ...]] = ("source", "net")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        boundary = self._boundary(start, problem)
        model = fresh_net(start, problem, boundary)
        fresh = start.model is None and not self.head_first
        schedule = Schedule.of(self, head_rate=self.rate * 10)
        if start.model is None and not fresh:
            seen = learned_from(problem, schedule, run.seed)
            give_head(model, seen, run, balanced=self.balanced)
        model.net.dropout.p = self.dropout
        loss = Loss(self.smoothing, self.balanced)
        _, notes = learn(
            model,
            problem,
            run,
            schedule,
            loss,
            fresh=fresh,
            teach=mixing(self.mixup),
            augment=self.augment,
            views=self.views,
        )
        model.net.dropout.p = 0.0
        return start.then(model, Step("finetune", asdict(self), time.monotonic() - began, notes))

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: how many epochs, so that none need be held out."""
        return settled_schedule(notes)

    def _boundary(self, start: Specialist, problem: Problem) -> int:
        source: Any = start.source
        backbone = start.model.net.backbone if isinstance(start.model, NetModel) else source.load()
        depth: int = backbone.depth
        train = self.train if self.train != "auto" else layers_for(problem.task.kind)
        if train == "head":
            return depth
        if train == "all":
            return 0
        return depth - 1 - max(1, round(self.blocks * (depth - 2)))


def layers_for(kind: TaskKind) -> Literal["top", "all"]:
    """Which layers learn when nobody says: the one place that decides it."""
    return "all" if kind == "regression" else "top"
