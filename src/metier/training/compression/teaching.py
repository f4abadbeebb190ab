"""Learning from another model: what it says of each row, kept, and the loss that follows it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metier.errors import Pruned
from metier.training.beside import Beside
from metier.training.feed import Feed
from metier.training.net import Net, NetModel
from metier.training.objectives import Batch, Supervised
from metier.types import Floats, Model, Run, Table, batches_of

CHUNK = 256
"""Rows that a finished graph answers between two looks at the clock."""


@dataclass(frozen=True)
class Lesson:
    """What a teacher says, once a row: `scores` (n, outputs), and `features` (n, width) where it
    is a net that has any. `digests` (n,) name the rows by their content."""

    digests: NDArray[np.uint64]
    scores: Floats
    features: Floats | None = None

    @cached_property
    def places(self) -> Mapping[int, int]:
        """Where each row stands."""
        return {digest: place for place, digest in enumerate(self.digests.tolist())}

    def at(self, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return where these rows stand. Raises KeyError for a row that was never heard."""
        found = (self.places[digest] for digest in digests.tolist())
        return np.fromiter(found, np.int64, len(digests))


def hear(teacher: Model, tables: Sequence[Table], run: Run) -> Lesson:
    """Ask a teacher about all rows of some tables, once. Raises Pruned when the time is over."""
    digests = np.concatenate([table.digests for table in tables])
    if isinstance(teacher, NetModel):
        features = np.concatenate([_features(teacher, table, run) for table in tables])
        head = teacher.net.head
        weight, bias = (v.detach().cpu().numpy() for v in (head.weight, head.bias))
        return Lesson(digests, features @ weight.T + bias, features)
    scores = [
        _scores(teacher, table.take(range(part.start, part.stop)), run)
        for table in tables
        for part in batches_of(len(table), CHUNK)
    ]
    return Lesson(digests, np.concatenate(scores))


def _features(teacher: NetModel, table: Table, run: Run) -> Floats:
    net = teacher.net.to(run.device)
    feed = Feed(net.backbone, teacher.preprocess, table, run.cache, run.device, run.deadline)
    return feed.features()


def _scores(teacher: Model, table: Table, run: Run) -> Floats:
    if run.deadline is not None and time.monotonic() > run.deadline:
        raise Pruned("out of time")
    return teacher.scores(table, run.cache)


@dataclass(frozen=True)
class Taught:
    """The task's loss mixed with a teacher's soft answers (Hinton et al., 2015).

    Args:
        supervised: the loss of the labels.
        lesson: what the teacher says of these rows, and of those in `more`.
        alpha: weight of the soft answers; the labels have the rest.
        temperature: scores of classes and labels are divided by it, so that the teacher's
            unlikely answers count; the gradient keeps its size.
        hidden: weight of the cosine distance to the teacher's features.
        widen: from the net's features to the teacher's where the widths differ; whoever makes
            the loss lets it learn beside the net.
        more: rows without labels, of which a batch is read beside each labelled one.
        rows: rows of such a batch.
        seed: of how they are put together.
    """

    supervised: Supervised
    lesson: Lesson
    alpha: float = 0.5
    temperature: float = 2.0
    hidden: float = 0.0
    widen: nn.Module | None = None
    more: Feed | None = None
    rows: int = 32
    seed: int = 0
    enters: None = None

    @property
    def feeds(self) -> Sequence[Feed]:
        return () if self.more is None else (self.more,)

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        features = net.backbone(batch.inputs, batch.hidden, batch.at)
        scores = net.head(net.dropout(features))
        loss = self._told(features, scores, batch.digests)
        if self.alpha < 1.0:
            loss = loss + (1 - self.alpha) * self.supervised.of(
                scores, batch.targets, batch.digests
            )
        return loss if self.more is None else 0.5 * (loss + self._beside(net, batch))

    def counted(self, targets: Tensor) -> float | None:
        """The number of the rows, where labels weigh alike and no other rows are read beside."""
        own = self.supervised.counted(targets)
        return own if self.more is None and own == len(targets) else None

    def _told(self, features: Tensor, scores: Tensor, digests: NDArray[np.uint64]) -> Tensor:
        """What follows from the teacher alone."""
        at = self.lesson.at(digests)
        wanted = torch.from_numpy(self.lesson.scores[at]).to(scores.device)
        loss = self.alpha * self._soft(scores, wanted)
        if self.hidden and self.lesson.features is not None:
            own = features if self.widen is None else self.widen(features)
            theirs = torch.from_numpy(self.lesson.features[at]).to(own.device)
            distance = 1 - functional.cosine_similarity(own, theirs)
            loss = loss + self.hidden * distance.mean()
        return loss

    def _soft(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """The distance to the teacher's scores: zero when they are met, or when only what all
        classes have in common differs."""
        kind, hot = self.supervised.task.kind, self.temperature
        if kind == "regression":
            units = (wanted - self.supervised.centre) / self.supervised.scale
            return functional.mse_loss(scores, units)
        if kind == "multilabel":
            sure = torch.sigmoid(wanted / hot)
            loss = functional.binary_cross_entropy_with_logits(scores / hot, sure)
            least = functional.binary_cross_entropy_with_logits(wanted / hot, sure)
            return (loss - least) * hot**2
        given, asked = (functional.log_softmax(v / hot, dim=1) for v in (scores, wanted))
        return functional.kl_div(given, asked, reduction="batchmean", log_target=True) * hot**2

    def _beside(self, net: Net, batch: Batch) -> Tensor:
        """The teacher's part of the loss on rows without labels."""
        more = self._more.draw(net, batch.at)
        features = net.backbone(more.inputs, more.hidden, more.at)
        return self._told(features, net.head(net.dropout(features)), more.digests)

    @cached_property
    def _more(self) -> Beside:
        assert self.more is not None
        return Beside(self.more, self.rows, self.seed)


def widening(net: Net, width: int, seed: int) -> nn.Module | None:
    """Put a layer from a net's features to those of a teacher into its backbone, where it learns
    beside the net; None when the widths are the same. `narrow` takes it out again."""
    own = net.backbone.width
    if own == width:
        return None
    random = torch.Generator().manual_seed(seed)
    layer = nn.Linear(own, width, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn((width, own), generator=random) / own**0.5)
    net.backbone.add_module(WIDEN, layer.to(net.head.weight.device))
    return layer


def narrow(net: Net) -> None:
    """Take out the layer that `widening` put in."""
    modules: Any = net.backbone
    if hasattr(modules, WIDEN):
        delattr(modules, WIDEN)


WIDEN = "widen"
