"""Distillation: a smaller network learns what the specialist says, not only what the labels say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np

from metier.errors import ChainError
from metier.sources import open_source
from metier.space import Choice, Float, Int, tune
from metier.training.compression.surgery import droppable, keep_blocks, operated
from metier.training.compression.teaching import Lesson, Taught, hear, narrow, widening
from metier.training.learn import Loss, learn, learned_from, settled_schedule
from metier.training.net import NetModel
from metier.training.objectives import Objective, Supervised
from metier.training.schedule import Schedule
from metier.training.start import feed_for, fresh_net, give_head
from metier.types import Form, Modality, Problem, Run, Source, Specialist, Step, Table

PROBED = 2
"""Rows of the passes that try a network with fewer blocks."""
FEWEST_BLOCKS = 1


@dataclass(frozen=True)
class Distill:
    """Train a smaller network to answer as the specialist does (Hinton et al., 2015).

    The student is the teacher with fewer of its blocks, evenly spaced (as Sanh et al., 2019), or
    another source. A teacher that is a finished graph or a booster has no blocks to copy: its
    student begins from the pretrained source.

    Args:
        blocks: share of the blocks that the student keeps; one at least. Blocks that change the
            size of their activations all stay.
        source: name or directory of the student's source; empty for the teacher's own.
        alpha: weight of the teacher's soft answers; the labels have the rest.
        temperature: how soft its answers are made.
        hidden: weight of the distance to the teacher's features, where it has any.
        epochs: passes over the rows at most.
        rate: peak learning rate of the top block.
        layer_decay: each block learns at this share of the rate of the one above.
        weight_decay: decoupled weight decay.
        patience: epochs without a better stopping score before it ends; 0 runs them all.
        average: decay of the moving average of the weights; 0 for none.
        rows: rows a step.
        unlabeled: rows without labels, on which the student follows the teacher alone.
    """

    blocks: float = tune(0.5, Float(0.2, 1.0))
    source: str = ""
    alpha: float = tune(0.7, Float(0.3, 1.0))
    temperature: float = tune(2.0, Choice((1.0, 2.0, 4.0)))
    hidden: float = tune(1.0, Choice((0.0, 1.0, 4.0)))
    epochs: float = tune(8.0, Int(3, 20))
    rate: float = tune(2e-4, Float(2e-5, 2e-3, log=True))
    layer_decay: float = tune(1.0, Float(0.7, 1.0))
    weight_decay: float = tune(0.01, Float(1e-4, 0.1, log=True))
    patience: int = 2
    average: float = tune(0.99, Choice((0.0, 0.99)))
    rows: int = tune(32, Choice((16, 32, 64)))
    unlabeled: Table | None = field(default=None, compare=False, repr=False)
    accepts: ClassVar[tuple[Form, ...]] = ("net", "graph", "booster")
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        if start.model is None:
            raise ChainError("distill takes a specialist that can teach, not a source")
        tables = [problem.train] if self.unlabeled is None else [problem.train, self.unlabeled]
        lesson = hear(start.model, tables, run)
        schedule = Schedule.of(self, head_rate=self.rate * 5)
        model = self._student(start, learned_from(problem, schedule, run.seed), run)

        def teach(supervised: Supervised) -> Objective:
            return self._objective(supervised, lesson, model, run)

        try:
            _, notes = learn(model, problem, run, schedule, Loss(), teach=teach)
        finally:
            narrow(model.net)
        step = Step("distill", self._told(), time.monotonic() - began, notes)
        return replace(start, source=model.source).then(model, step)

    def settled(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the fits on the folds found out: how many epochs, so that none need be held out."""
        return settled_schedule(notes)

    def _student(self, start: Specialist, problem: Problem, run: Run) -> NetModel:
        """The net that is to learn: fewer blocks of the teacher, or of a pretrained source."""
        copied = isinstance(start.model, NetModel) and not self.source
        source = start.source if copied else self._source(start)
        whole = fresh_net(
            replace(start, source=source, model=start.model if copied else None), problem
        )
        feed = feed_for(whole, problem.train, run)
        backbone = whole.net.backbone
        probe = feed.inputs(np.arange(min(PROBED, len(feed))))
        kept = _evenly(len(backbone.blocks), droppable(backbone, probe), self.blocks)
        if copied and self.blocks < 1 and len(kept) == len(backbone.blocks):
            raise ChainError(
                "distill can leave no block out of this network: name a smaller source instead"
            )
        student = operated(whole, keep_blocks(backbone, kept, probe))
        if not copied:
            give_head(student, problem, run)
        boundary = 1 if copied and student.net.backbone.blocks else 0
        return fresh_net(Specialist(source, start.task, student), problem, boundary)

    def _source(self, start: Specialist) -> Source:
        """The pretrained source that the student begins from."""
        modality = start.source.modality
        if modality not in self.modalities:
            raise ChainError(f"distill makes a network of {' or '.join(self.modalities)} out of it")
        if not self.source and hasattr(start.source, "load"):
            return start.source
        return open_source(self.source or start.source.name, modality)

    def _objective(
        self, supervised: Supervised, lesson: Lesson, model: NetModel, run: Run
    ) -> Objective:
        hidden = self.hidden if lesson.features is not None else 0.0
        widen = None
        if hidden and lesson.features is not None:
            widen = widening(model.net, lesson.features.shape[1], run.seed)
        more = None if self.unlabeled is None else feed_for(model, self.unlabeled, run)
        return Taught(
            supervised,
            lesson,
            alpha=self.alpha,
            temperature=self.temperature,
            hidden=hidden,
            widen=widen,
            more=more,
            rows=self.rows,
            seed=run.seed,
        )

    def _told(self) -> dict[str, Any]:
        """The parameters as a lineage names them: of rows without labels, how many there were."""
        told = {own.name: getattr(self, own.name) for own in fields(self)}
        return {**told, "unlabeled": 0 if self.unlabeled is None else len(self.unlabeled)}


def _evenly(count: int, free: Sequence[int], share: float) -> list[int]:
    """Which of `count` blocks stay: those that cannot go, and of the others, first and last
    included, evenly as many as make up the share."""
    dropped = min(count - max(round(share * count), FEWEST_BLOCKS), len(free))
    if dropped <= 0:
        return list(range(count))
    places = np.linspace(0, len(free) - 1, len(free) - dropped).round().astype(int)
    staying = {free[place] for place in places}
    return [k for k in range(count) if k in staying or k not in free]
