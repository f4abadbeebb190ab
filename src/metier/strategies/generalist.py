"""The general model with nothing learned but where the classes lie."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.errors import ChainError
from metier.training.feed import Feed
from metier.training.labelnames import words_of
from metier.training.net import NetModel
from metier.training.start import feed_for, fresh_net
from metier.types import Floats, Form, Modality, Problem, Roles, Run, Specialist, Step, Table

SHARPNESS = 20.0
"""Cosine similarities are multiplied by this before the softmax (temperature 0.05)."""


@dataclass(frozen=True)
class Generalist:
    """What the source can do untouched: the nearest label name, or else the nearest class mean.

    With "names" (text models, labels that are words) no label is used at all: a row gets the class
    whose name lies nearest to it. With "means" (Snell et al., 2017, without training) it gets the
    class whose average row lies nearest. "auto" takes names where they are words.
    """

    by: Literal["auto", "names", "means"] = "auto"
    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "net"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        began = time.monotonic()
        task = problem.task
        if task.kind == "regression":
            raise ChainError("a generalist has no notion of a number to predict: use the mean")
        model = fresh_net(start, problem)
        names = words_of(task.labels)
        by = self.by
        if by == "auto":
            by = "names" if names and start.source.modality == "text" else "means"
        if by == "names" and start.source.modality != "text":
            raise ChainError(f"{start.source.name!r} reads no names of labels: use by=means")
        if by == "names":
            centres = _name_features(model, names or list(task.labels), run)
        else:
            feed = feed_for(model, problem.train, run)
            centres = _class_means(feed.features(), task.encode(problem.train), task.outputs)
        weight, bias = _nearest(centres, task.kind == "multilabel")
        model.net.set_head(weight, bias)
        step = Step("generalist", asdict(self), time.monotonic() - began, {"by": by})
        return start.then(model, step)


def _name_features(model: NetModel, names: list[str], run: Run) -> Floats:
    preprocess: Any = model.preprocess
    first, *others = columns = preprocess.columns
    frame = pl.DataFrame({first: names, **{name: [""] * len(names) for name in others}})
    table = Table(frame, Roles(inputs={name: "text" for name in columns}))
    return Feed(model.net.backbone, model.preprocess, table, run.cache, run.device).features()


def _class_means(features: Floats, targets: NDArray[Any], outputs: int) -> Floats:
    """The mean direction of each class (outputs, width); zeros for a class without rows."""
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    marks = targets if targets.ndim == 2 else np.eye(outputs)[targets]
    sums = marks.T @ features
    return np.asarray(sums / np.maximum(marks.sum(axis=0)[:, None], 1), dtype=np.float32)


def _nearest(centres: Floats, multilabel: bool) -> tuple[Floats, Floats]:
    """A linear head that ranks classes by cosine similarity of the feature to each centre."""
    unit = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    # A class that nobody has seen lies opposite to every row.
    bias = np.where(centres.any(axis=1), 0.0, -SHARPNESS).astype(np.float32)
    if multilabel:
        bias -= SHARPNESS * 0.35
    return (SHARPNESS * unit).astype(np.float32), bias
