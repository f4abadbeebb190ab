"""From a specialist to a net that may learn, the same way for every neural strategy."""

from __future__ import annotations

from typing import Any

from metier.errors import ChainError, DataError
from metier.runtime.preprocess import Preprocess
from metier.training.feed import Feed
from metier.training.heads import Head, bound_folds, fit_head
from metier.training.net import Net, NetModel, branch
from metier.types import Floats, Problem, Run, Source, Specialist, Table


def fresh_net(start: Specialist, problem: Problem, learns_from: int | None = None) -> NetModel:
    """Return a net of one's own to train, its frozen weights shared with where it came from.

    From an untouched source it has a new head. `learns_from` is the boundary above which it may
    learn; None freezes the whole backbone. Nothing asks for gradients yet but the head.
    """
    if isinstance(start.model, NetModel):
        net, preprocess, untouched = start.model.net, start.model.preprocess, start.model.untouched
    elif start.model is None:
        source: Any = start.source
        backbone = source.load()
        net = Net(backbone, problem.task.outputs)
        preprocess = preprocess_of(start.source, problem.train)
        untouched = backbone.depth
    else:
        raise ChainError(f"a {start.form} cannot be trained further as a net")
    boundary = net.backbone.depth if learns_from is None else learns_from
    copied = branch(net, boundary)
    copied.learn_from(boundary)
    return NetModel(copied, preprocess, problem.task, start.source, min(untouched, boundary))


def preprocess_of(source: Source, table: Table) -> Preprocess:
    """Return how a source reads the inputs of a table: its text columns, or its image column."""
    wanted: Any = source
    inputs = table.roles.inputs
    names = [name for name, kind in inputs.items() if kind == source.modality]
    if not names:
        raise DataError(f"source {source.name!r} reads {source.modality}, and no input column is")
    found: Preprocess = wanted.preprocess(names if source.modality == "text" else names[0])
    return found


def feed_for(model: NetModel, table: Table, run: Run) -> Feed:
    """Return the rows of a table as batches for a net, on the run's device."""
    model.net.to(run.device)
    return Feed(model.net.backbone, model.preprocess, table, run.cache, run.device, run.deadline)


def give_head(
    model: NetModel,
    problem: Problem,
    run: Run,
    *,
    balanced: bool = False,
    features: Floats | None = None,
) -> Head:
    """Fit a linear head on frozen features (n, width), those of the net when None, and set it."""
    if features is None:
        features = feed_for(model, problem.train, run).features()
    task, targets = problem.task, problem.task.encode(problem.train)
    head = fit_head(
        features,
        targets,
        task.kind,
        task.outputs,
        balanced=balanced,
        seed=run.seed,
        weights=problem.train.weights,
        folds=bound_folds(problem.train, targets, run.seed),
        deadline=run.deadline,
    )
    model.net.set_head(head.weight, head.bias)
    return head
