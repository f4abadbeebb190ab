"""A fit made ready: net, rows and loss of a tiny source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.tasks import build
from metier.training.feed import Feed
from metier.training.loop import Watch, fit
from metier.training.net import Net
from metier.training.objectives import Batch, Objective, Supervised
from metier.training.schedule import Schedule
from metier.training.standing import Outcome
from metier.training.start import feed_for, fresh_net
from metier.types import Problem, Run, Specialist, Table

State = dict[str, torch.Tensor]
QUICK = Schedule(epochs=3, rate=1e-3, rows=16)


@dataclass
class Ready:
    """All that a fit takes; `go` fits."""

    net: Net
    feed: Feed
    targets: np.ndarray[Any, Any]
    objective: Objective
    run: Run
    watch: Watch | None = None
    outcome: Outcome = field(default_factory=Outcome)

    def go(self, schedule: Schedule, **run: Any) -> Outcome:
        return fit(
            self.net,
            self.feed,
            self.targets,
            self.objective,
            schedule,
            replace(self.run, **run),
            self.watch,
        )

    def state(self) -> State:
        return {name: value.clone() for name, value in self.net.state_dict().items()}


Make = Callable[..., Ready]


@dataclass
class Counting:
    """Hands on an objective, and calls `then(steps)` after each of its losses."""

    inner: Objective
    then: Callable[[int], None]
    steps: int = 0

    @property
    def enters(self) -> int | None:
        return self.inner.enters

    @property
    def feeds(self) -> Any:
        return self.inner.feeds

    def __call__(self, net: Net, batch: Batch) -> torch.Tensor:
        loss = self.inner(net, batch)
        self.steps += 1
        self.then(self.steps)
        return loss


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


@pytest.fixture
def ready(tiny_sources: dict[str, Any], tiny_table: Callable[..., Table]) -> Callable[..., Ready]:
    """Make a fit: `ready("bert", boundary=0, n=60, kind="multiclass", watched=0)`."""

    def make(
        name: str,
        boundary: int = 0,
        n: int = 60,
        kind: Any = "multiclass",
        watched: int = 0,
        cache: Cache | None = None,
    ) -> Ready:
        source = tiny_sources[name]
        table = tiny_table(source, n + watched, kind)
        task = build(kind, table)
        train = table.take(range(n))
        run = Run(cache or Cache())
        model = fresh_net(Specialist(source, task), Problem(task, train), boundary)
        model.net.set_head(
            np.random.default_rng(0).normal(size=model.net.head.weight.shape) * 0.1,
            np.zeros(task.outputs),
        )
        watch = None
        if watched:
            held = table.take(range(n, n + watched))
            wanted = torch.as_tensor(task.encode(held))

            def judge(scores: Any) -> float:
                return -float(task.loss(torch.from_numpy(scores), wanted))

            watch = Watch(feed_for(model, held, run), judge)
        feed = feed_for(model, train, run)
        return Ready(model.net, feed, task.encode(train), Supervised(task), run, watch)

    return make
