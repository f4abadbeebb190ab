"""Continued pretraining: the source reads the user's texts before it learns the task."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from metier.cache import fingerprint
from metier.errors import ChainError
from metier.space import Float, Int, tune
from metier.training.adapted import Adapted
from metier.training.around import as_one_step, inner_of, part_of, rows_for
from metier.training.net import NetModel
from metier.training.schedule import Schedule
from metier.training.start import fresh_net
from metier.training.unlabelled.masked import learn_words
from metier.types import (
    Form,
    Modality,
    Problem,
    Run,
    Source,
    Specialist,
    Strategy,
    Table,
)

NAME = "pretrain"
FOR_READING = 0.5
"""The share of the time left that reading may take."""


@dataclass(frozen=True)
class Pretrain:
    """Train a text source on masked words of unlabelled texts, then let an inner strategy learn
    the task from it (Gururangan et al., 2020).

    Only the unlabelled texts are read, so that every fold begins from the same source and reading
    is done once. Without any, the training texts are read.

    Args:
        inner: what learns the task; finetune when None.
        passes: over the texts.
        pace: peak learning rate of the reading.
        fade: each block reads at this share of the rate of the one above.
        unlabeled: the texts without labels.
    """

    inner: Strategy | None = None
    passes: float = tune(2.0, Int(1, 4))
    pace: float = tune(1e-4, Float(2e-5, 5e-4, log=True))
    fade: float = 1.0
    unlabeled: Table | None = field(default=None, compare=False, repr=False)

    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text",)

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Read, then learn. Raises ChainError for a source that reads no texts alone, and around
        what trains no network from a source."""
        began = time.monotonic()
        inner = inner_of(self.inner, start.source.modality)
        if inner.gives != "net" or "source" not in inner.accepts:
            raise ChainError("pretrain wraps what makes a network of a source")
        train = problem.train
        texts = train if self.unlabeled is None else rows_for(NAME, self.unlabeled, train)
        adapted, notes = self._read(start, problem, texts, run)
        folder = None if run.folder is None else run.folder / "task"
        made = inner(replace(start, source=adapted), problem, run.in_folder(folder))
        if not isinstance(made.model, NetModel):
            raise ChainError("pretrain needs a network to come out of what it wraps")
        # What lies below is not the source's own any more.
        model = replace(made.model, source=start.source, untouched=0)
        made = replace(made, source=start.source, model=model)
        return as_one_step(NAME, self, start, made, time.monotonic() - began, {NAME: notes})

    def _read(
        self, start: Specialist, problem: Problem, texts: Table, run: Run
    ) -> tuple[Source, dict[str, Any]]:
        """The source after reading, kept for the next fit of the same kind."""
        kept = run.cache.memory.setdefault(NAME, {})
        mark = fingerprint(
            start.source.digest, texts.digests.tobytes().hex(), self.passes, self.pace, self.fade,
            run.seed,
        )  # fmt: skip
        key = int(mark[:15], 16)
        if key not in kept:
            model = fresh_net(start, problem, 0)
            outcome = learn_words(
                model, texts, self._schedule(), part_of(run, FOR_READING, "reading")
            )
            for parameter in model.net.parameters():
                parameter.requires_grad_(False)
            model.net.eval()
            kept.clear()  # one at a time: they are as large as the source
            notes = {
                "texts": len(texts),
                "steps": outcome.steps,
                "shortened": outcome.shortened,
                "curve": outcome.curve,
            }
            kept[key] = (Adapted(start.source, model.net.backbone), notes)
        source, notes = kept[key]
        return source, notes

    def _schedule(self) -> Schedule:
        return Schedule(epochs=self.passes, rate=self.pace, layer_decay=self.fade)
