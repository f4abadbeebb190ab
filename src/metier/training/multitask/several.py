"""One network that answers several tasks: a head each, learned together in the one loop.

All rows stand in one table, those with equal inputs once, and the net's head has the outputs of all
tasks side by side. A row knows the targets of the tasks that have it; the others are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metier.data.unite import United, unite
from metier.errors import ChainError
from metier.runtime.preprocess import Preprocess
from metier.training.feed import Feed
from metier.training.heads import bound_folds, fit_head
from metier.training.learn import standardised, stopping_rows
from metier.training.loop import Watch, fit
from metier.training.net import Net, NetModel, branch
from metier.training.objectives import Batch, Supervised
from metier.training.schedule import Schedule
from metier.training.start import preprocess_of
from metier.training.weighing import by_content
from metier.types import Problem, Rows, Run, Specialist, Table, Task

WORTH = "worth"
HEAVIEST = 20.0
"""The most that a task weighs, so that one that is learned by heart does not rule the others."""
MEMORY = 0.95
"""How much of a task's running loss is kept at a step."""


@dataclass(frozen=True)
class Part:
    """One task's share of a net with several heads: its loss, its scores and its targets."""

    task: Task
    loss: Supervised
    scores: slice
    targets: slice

    def of(self, scores: Tensor, targets: Tensor, digests: NDArray[np.uint64] | None) -> Tensor:
        """The mean loss of rows that all know this task."""
        own = targets[:, self.targets]
        if self.task.kind in ("binary", "multiclass"):
            own = own[:, 0].long()
        elif self.task.kind == "regression":
            own = own[:, 0]
        return self.loss.of(scores[:, self.scores], own, digests)


class Worth(nn.Module):
    """How large each task's loss has been lately. Kept like the statistics of a batch norm, so
    that a fit which is taken up again weighs as before."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.running_mean: Tensor
        self.register_buffer("running_mean", torch.zeros(tasks))

    def weight(self, task: int, loss: float) -> float:
        """Note a loss; return what its task weighs."""
        before = float(self.running_mean[task])
        now = loss if before == 0.0 else MEMORY * before + (1 - MEMORY) * loss
        self.running_mean[task] = now
        return min(0.5 / max(now, 1e-9), HEAVIEST)


@dataclass(frozen=True)
class Joint:
    """The losses of several tasks, weighed by their uncertainty (Kendall et al., 2018).

    There a task weighs 1/(2 s²) with s learned; where s has its optimum, that is one half by the
    size of the task's loss, which is what it weighs here: no rate to choose, and the same for
    classes and numbers. A task counts in a batch for the rows that know it.
    """

    parts: tuple[Part, ...]
    worth: Worth
    enters: None = None
    feeds: tuple[Feed, ...] = ()

    def __call__(self, net: Net, batch: Batch) -> Tensor:
        scores = net(batch.inputs, batch.hidden, batch.at)
        total: Tensor = scores.sum() * 0.0
        for number, part in enumerate(self.parts):
            known = ~torch.isnan(batch.targets[:, part.targets.start])
            count = int(known.sum())
            if count:
                digests = batch.digests[known.cpu().numpy()]
                loss = part.of(scores[known], batch.targets[known], digests)
                weight = self.worth.weight(number, float(loss.detach()))
                total = total + loss * (weight * count / len(scores))
        return total


@dataclass(frozen=True)
class Several:
    """How several tasks are learned together.

    Args:
        schedule: of the loop.
        boundary: what lies above it learns.
        dropout: before the heads.
        temperature: a task of n rows is met as often as n^(1/temperature) says; 1 is once a row.
    """

    schedule: Schedule
    boundary: int
    dropout: float = 0.0
    temperature: float = 1.0


def learn_together(
    start: Specialist, problems: Sequence[Problem], run: Run, how: Several
) -> tuple[list[NetModel], Mapping[str, Any]]:
    """Train one backbone on several problems; return a model for each, which share it.

    Heads are fitted on the frozen features first. With patience, stopping rows are taken out of
    every problem's own rows. Raises DataError when the problems do not read the same inputs, and
    what the loop raises.
    """
    united = unite([problem.train for problem in problems])
    encoded = [problem.task.encode(problem.train) for problem in problems]
    held = _stopping(united, problems, encoded, how.schedule, run.seed)
    fitting = np.setdiff1d(np.arange(len(united.table)), held)
    parts = _parts(united, problems, encoded, fitting)
    targets = _side_by_side(united, parts, encoded)
    net, untouched = _net(start, problems, how.boundary)
    net.to(run.device)
    readings = [_reading(start, problem.train) for problem in problems]

    def feed(rows: Rows) -> Feed:
        table = united.table.take(rows)
        return Feed(net.backbone, readings[0], table, run.cache, run.device, run.deadline)

    tables = _learned(united, problems, fitting)
    _fit_heads(net, feed(fitting), parts, targets[fitting], tables, run)
    order = _often(united, fitting, how.temperature, run.seed)
    watch = Watch(feed(held), _judge(parts, targets[held])) if len(held) else None
    worth = Worth(len(parts)).to(run.device)
    net.dropout.p = how.dropout
    net.backbone.add_module(WORTH, worth)
    _scale_heads(net, parts, inwards=True)
    try:
        objective = run.objective(Joint(parts, worth))
        outcome = fit(net, feed(order), targets[order], objective, how.schedule, run, watch)
    finally:
        delattr(net.backbone, WORTH)
        _scale_heads(net, parts, inwards=False)
        net.dropout.p = 0.0
        for parameter in net.parameters():
            parameter.requires_grad_(False)
    notes = {
        "steps": outcome.steps,
        "epochs": round(outcome.epochs, 3),
        "rows": len(fitting),
        "tasks": len(parts),
        "cached_at": outcome.boundary,
        "of": net.backbone.depth,
        "shortened": outcome.shortened,
        "curve": outcome.curve,
    }
    pairs = zip(parts, readings, strict=True)
    return [_alone(net, part, own, start, untouched) for part, own in pairs], notes


def _net(start: Specialist, problems: Sequence[Problem], boundary: int) -> tuple[Net, int]:
    """A net of one's own with a head as wide as all tasks, and how far up it is untouched."""
    source: Any = start.source
    if isinstance(start.model, NetModel):
        backbone, untouched = start.model.net.backbone, start.model.untouched
    elif start.model is None:
        backbone = source.load()
        untouched = backbone.depth
    else:
        raise ChainError(f"a {start.form} cannot be trained further as a net")
    whole = Net(backbone, sum(problem.task.outputs for problem in problems))
    net = branch(whole, boundary)
    net.learn_from(boundary)
    return net, min(untouched, boundary)


def _reading(start: Specialist, table: Table) -> Preprocess:
    """How a task's own rows are read, under the names that it has for them."""
    if not isinstance(start.model, NetModel):
        return preprocess_of(start.source, table)
    found: Any = start.model.preprocess
    modality = table.roles.modality
    names = [name for name, kind in table.roles.inputs.items() if kind == modality]
    named = {"columns": tuple(names)} if modality == "text" else {"column": names[0]}
    reading: Preprocess = replace(found, **named)
    return reading


def _parts(
    united: United,
    problems: Sequence[Problem],
    encoded: Sequence[NDArray[Any]],
    fitting: Rows,
) -> tuple[Part, ...]:
    found: list[Part] = []
    score = target = 0
    learned = np.zeros(len(united.table), dtype=bool)
    learned[fitting] = True
    for problem, place, wanted in zip(problems, united.places, encoded, strict=True):
        own = learned[place]
        centre, scale = standardised(wanted[own] if own.any() else wanted, problem.task)
        weights = problem.train.weights
        rows = None
        if weights is not None:
            rows = by_content(united.table.digests[place], weights)
        loss = Supervised(problem.task, centre=centre, scale=scale, rows=rows)
        width = wanted.shape[1] if wanted.ndim == 2 else 1
        outputs = problem.task.outputs
        found.append(
            Part(problem.task, loss, slice(score, score + outputs), slice(target, target + width))
        )
        score, target = score + outputs, target + width
    return tuple(found)


def _side_by_side(
    united: United, parts: Sequence[Part], encoded: Sequence[NDArray[Any]]
) -> NDArray[np.float32]:
    """The targets of all tasks, (rows, columns); NaN where a row does not know a task."""
    whole = np.full((len(united.table), parts[-1].targets.stop), np.nan, dtype=np.float32)
    for part, place, wanted in zip(parts, united.places, encoded, strict=True):
        whole[place, part.targets] = wanted.reshape(len(wanted), -1)
    return whole


def _stopping(
    united: United,
    problems: Sequence[Problem],
    encoded: Sequence[NDArray[Any]],
    schedule: Schedule,
    seed: int,
) -> Rows:
    """Rows to stop by, held out for all tasks alike; those of a task are drawn from its rows that
    no task before it has."""
    owned = np.zeros(len(united.table), dtype=bool)
    held: list[Rows] = []
    for problem, place, wanted in zip(problems, united.places, encoded, strict=True):
        own = np.flatnonzero(~owned[place])
        owned[place] = True
        if len(own):
            table, task = problem.train.take(own), problem.task
            _, stopping = stopping_rows(table, wanted[own], task, schedule, seed)
            if stopping is not None:
                held.append(place[own[stopping]])
    return np.unique(np.concatenate(held)) if held else np.zeros(0, dtype=np.int64)


def _often(united: United, fitting: Rows, temperature: float, seed: int) -> Rows:
    """The rows of an epoch: each at least once, those of smaller tasks more often."""
    learned = np.zeros(len(united.table), dtype=bool)
    learned[fitting] = True
    own = [place[learned[place]] for place in united.places]
    most = max(len(rows) for rows in own)
    random = np.random.default_rng((seed, most))
    found = [fitting]
    for rows in own:
        if len(rows):
            wanted = most * (len(rows) / most) ** (1 / max(temperature, 1.0))
            more = int(wanted) - len(rows)
            found.append(random.permutation(np.resize(random.permutation(rows), max(more, 0))))
    return np.concatenate(found)


def _learned(united: United, problems: Sequence[Problem], fitting: Rows) -> list[Table]:
    """Each task's own rows among those that are learned from, in the order of these."""
    found = []
    for problem, place in zip(problems, united.places, strict=True):
        row = np.full(len(united.table), -1)
        row[place] = np.arange(len(place))
        own = row[fitting]
        found.append(problem.train.take(own[own >= 0]))
    return found


def _fit_heads(
    net: Net,
    feed: Feed,
    parts: Sequence[Part],
    targets: NDArray[np.float32],
    tables: Sequence[Table],
    run: Run,
) -> None:
    """Fit every head on the frozen features of its own rows."""
    features = feed.features()
    weight = np.zeros((net.head.out_features, features.shape[1]), dtype=np.float32)
    bias = np.zeros(net.head.out_features, dtype=np.float32)
    for part, table in zip(parts, tables, strict=True):
        known = ~np.isnan(targets[:, part.targets.start])
        if not known.any():
            continue
        wanted: NDArray[Any] = targets[known, part.targets]
        kind = part.task.kind
        if kind != "multilabel":
            wanted = wanted[:, 0] if kind == "regression" else wanted[:, 0].astype(np.int64)
        weights = None
        if part.loss.rows is not None:
            named = feed.digests[known].tolist()
            weights = np.array([part.loss.rows[digest] for digest in named])
        head = fit_head(
            features[known],
            wanted,
            kind,
            part.task.outputs,
            seed=run.seed,
            weights=weights,
            folds=bound_folds(table, wanted, run.seed),
            deadline=run.deadline,
        )
        weight[part.scores], bias[part.scores] = head.weight, head.bias
    net.set_head(weight, bias)


def _scale_heads(net: Net, parts: Sequence[Part], *, inwards: bool) -> None:
    """Let the heads of numbers speak in standard deviations while they learn, and back."""
    weight, bias = (v.detach().cpu().numpy().copy() for v in (net.head.weight, net.head.bias))
    for part in parts:
        centre, scale, own = part.loss.centre, part.loss.scale, part.scores
        if inwards:
            weight[own], bias[own] = weight[own] / scale, (bias[own] - centre) / scale
        else:
            weight[own], bias[own] = weight[own] * scale, bias[own] * scale + centre
    net.set_head(weight, bias)


def _judge(parts: Sequence[Part], targets: NDArray[np.float32]) -> Any:
    """How well scores do on the stopping rows: what uncertainty weighing has as its likelihood,
    the mean log of the losses, turned round."""
    wanted = torch.as_tensor(targets)

    def judge(scores: NDArray[np.float32]) -> float:
        given, found = torch.from_numpy(scores), []
        for part in parts:
            known = ~torch.isnan(wanted[:, part.targets.start])
            if bool(known.any()):
                plain = replace(part, loss=replace(part.loss, rows=None))
                loss = float(plain.of(given[known], wanted[known], None))
                found.append(np.log(max(loss, 1e-6)))
        return -float(np.mean(found))

    return judge


def _alone(
    net: Net, part: Part, reading: Preprocess, start: Specialist, untouched: int
) -> NetModel:
    """One task's model: the shared backbone under its own head."""
    own = Net(net.backbone, part.task.outputs).to(net.head.weight.device)
    weight, bias = (v.detach().cpu().numpy() for v in (net.head.weight, net.head.bias))
    own.set_head(weight[part.scores], bias[part.scores])
    for parameter in own.parameters():
        parameter.requires_grad_(False)
    return NetModel(own, reading, part.task, start.source, untouched)
