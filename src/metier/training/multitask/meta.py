"""Learning a start that adapts from few rows: episodes as an objective of the one loop.

An episode is a small task of its own, drawn out of the classes that may be learned from. What the
lower, frozen blocks make of the rows is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy, normalize

from metier.evidence.episodes import Classes, Episode, Shape, draw
from metier.sources.backbone import Backbone
from metier.training.feed import Feed
from metier.training.loop import fit
from metier.training.net import Net, branch
from metier.training.objectives import Batch
from metier.training.schedule import Schedule
from metier.training.start import preprocess_of
from metier.types import Run, Source, Table

Method = Literal["prototypical", "reptile", "fomaml"]
METHODS: tuple[Method, ...] = ("prototypical", "reptile", "fomaml")
SHARP = 10.0
"""What cosines are multiplied with before they become probabilities."""
TICK = 4
"""Rows of the loop's own batch: all that it does is to say which episode comes next."""


@dataclass(frozen=True)
class How:
    """How a start is learned.

    Args:
        method: "prototypical" pulls rows to the mean of their class (Snell et al., 2017);
            "reptile" moves towards where learning an episode leads (Nichol et al., 2018); "fomaml"
            moves by the gradient that is found there (Finn et al., 2017, first order).
        shape: of the episodes learned from.
        steps: episodes.
        rate: peak learning rate of the top block.
        layer_decay: each block learns at this share of the rate of the one above.
        blocks: how many blocks learn, as a share of all, from the top.
        inner: gradient steps within an episode, of reptile and fomaml.
        inner_rate: length of those steps.
        average: decay of the moving average of the weights; 0 for none.
    """

    method: Method = "prototypical"
    shape: Shape = field(default_factory=Shape)
    steps: int = 200
    rate: float = 5e-5
    layer_decay: float = 0.9
    blocks: float = 0.34
    inner: int = 4
    inner_rate: float = 1e-2
    average: float = 0.99


def learn_start(
    source: Source, table: Table, tasks: Sequence[Classes], how: How, run: Run
) -> tuple[Backbone, Mapping[str, Any]]:
    """Return a copy of a source's network that has learned episodes of these tasks.

    `tasks` hold the rows of `table` by class. Raises Pruned when there is no time.
    """
    opened: Any = source
    backbone = opened.load()
    boundary = max(backbone.depth - 1 - max(1, round(how.blocks * (backbone.depth - 2))), 0)
    net = branch(Net(backbone, 1), boundary)
    net.learn_from(boundary)
    for parameter in net.head.parameters():
        parameter.requires_grad_(False)
    net.to(run.device)
    reading = preprocess_of(source, table)
    rows = np.unique(np.concatenate([own for classes in tasks for own in classes]))
    learned = table.take(rows)
    places = [[np.searchsorted(rows, own) for own in classes] for classes in tasks]
    feed = Feed(net.backbone, reading, learned, run.cache, run.device, run.deadline)
    objective = Episodes(feed, places, how, run.seed)
    per_epoch = -(-len(rows) // TICK)
    schedule = Schedule(
        epochs=how.steps / per_epoch,
        rate=how.rate,
        layer_decay=how.layer_decay,
        rows=TICK,
        tokens=1 << 30,
        average=how.average,
    )
    outcome = fit(net, feed, np.zeros(len(rows)), run.objective(objective), schedule, run)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    notes = {"steps": outcome.steps, "cached_at": outcome.boundary, "of": backbone.depth}
    return net.backbone.eval(), {**notes, "shortened": outcome.shortened, "curve": outcome.curve}


@dataclass(frozen=True)
class Episodes:
    """The loss of one episode a step.

    Which one follows from the rows of the loop's batch, so that a fit draws the same ones again.
    """

    feed: Feed
    tasks: Sequence[Classes]
    how: How
    seed: int = 0
    enters: None = None

    @property
    def feeds(self) -> Sequence[Feed]:
        return (self.feed,)

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        named = int(np.bitwise_xor.reduce(batch.digests)) % 2**32
        random = np.random.default_rng((self.seed, named))
        task = self.tasks[int(random.integers(len(self.tasks)))]
        episode = draw(task, self.how.shape, random)
        at = self.feed.prepare(batch.at)
        if self.how.method == "prototypical":
            return self._loss(net.backbone, {}, episode, at)
        own = {n: p for n, p in net.backbone.named_parameters() if p.requires_grad}
        moved, head = self._adapt(net.backbone, own, episode, at)
        if self.how.method == "reptile":
            # Its gradient is the way back from where the episode led.
            ways = [(own[n] * (own[n] - moved[n]).detach()).sum() for n in own]
            return torch.stack(ways).sum()
        # The value of the adapted weights, with the gradient of those that they began from.
        there = {n: p + (moved[n] - p).detach() for n, p in own.items()}
        features = self._features(net.backbone, there, episode.queries, at)
        return cross_entropy(features @ head.T, self._truth(episode.truth, features))

    def _loss(
        self, backbone: Backbone, weights: Mapping[str, Tensor], episode: Episode, at: int
    ) -> Tensor:
        """The loss of answering the queries by the nearest mean."""
        rows = np.concatenate([episode.support.ravel(), episode.queries])
        features = self._features(backbone, weights, rows, at)
        known, asked = features[: episode.support.size], features[episode.support.size :]
        return cross_entropy(asked @ self._means(known).T, self._truth(episode.truth, asked))

    def _adapt(
        self, backbone: Backbone, own: Mapping[str, Tensor], episode: Episode, at: int
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Learn the known rows of an episode by a few plain steps, from a head of their means.

        Returns the weights and the head that this leads to.
        """
        moved = {name: value.detach().clone().requires_grad_() for name, value in own.items()}
        rows = episode.support.ravel()
        with torch.no_grad():
            head = self._means(self._features(backbone, moved, rows, at))
        head.requires_grad_()
        truth = np.repeat(np.arange(len(episode.support)), episode.support.shape[1])
        for _ in range(self.how.inner):
            features = self._features(backbone, moved, rows, at)
            loss = cross_entropy(features @ head.T, self._truth(truth, features))
            learned = [*moved.values(), head]
            slopes = torch.autograd.grad(loss, learned, allow_unused=True)
            with torch.no_grad():
                for value, slope in zip(learned, slopes, strict=True):
                    if slope is not None:
                        value -= self.how.inner_rate * slope
        return {n: v.detach() for n, v in moved.items()}, head.detach()

    def _means(self, known: Tensor) -> Tensor:
        """The means of the classes as a linear head, (ways, width)."""
        ways = self.how.shape.ways
        return SHARP * normalize(known.reshape(ways, -1, known.shape[1]).mean(dim=1))

    def _features(
        self, backbone: Backbone, weights: Mapping[str, Tensor], rows: Any, at: int
    ) -> Tensor:
        """Features of length 1, (rows, width), by these weights instead of the network's own."""
        whole = at == backbone.depth
        inputs = {} if whole else self.feed.inputs(rows, light=at > 0)
        given = (inputs, self.feed.hidden(rows, at), at)
        features = functional_call(backbone, dict(weights), given) if weights else backbone(*given)
        return normalize(features)

    def _truth(self, truth: Any, like: Tensor) -> Tensor:
        return torch.as_tensor(truth, dtype=torch.int64, device=like.device)
