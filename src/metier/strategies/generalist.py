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
from metier.training.fewshot.labelnames import words_of
from metier.training.net import NetModel
from metier.training.start import feed_for, fresh_net
from metier.types import Floats, Form, Modality, Problem, Roles, Run, Specialist, Step, Table

SHARPNESS = 20.0
"""Cosine similarities are multiplied by this before the softmax (temperature 0.05)."""
ROUNDING = 1e-4
"""What lies closer than this share of the whole spread may change places elsewhere."""


@dataclass(frozen=True)
class Generalist:
    """What the source can do untouched: the nearest label name, or else the nearest class mean.

    With "names" (text models, labels that are words) no label is used at all: a row gets the class
    whose name lies nearest to it. With "means" (Snell et al., 2017, without training) it gets the
    class whose average row lies nearest. "auto" takes names where they are words. Of several labels
    a row gets those that lie nearer than a limit, the same for all, at which the training rows get
    as many as they have: how many that is, is all that is learned of them with "names".
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
        several = task.kind == "multilabel"
        rows, targets = np.zeros((0, 0), np.float32), task.encode(problem.train)
        if several or by == "means":
            rows = feed_for(model, problem.train, run).features()
        if by == "names":
            centres = _directions(_name_features(model, names or list(task.labels), run))
        else:
            centres = _directions(_class_means(_directions(rows), targets, task.outputs))
        # A class that nobody has seen lies opposite to every row.
        bias = np.where(centres.any(axis=1), 0.0, -SHARPNESS)
        if several:
            bias -= SHARPNESS * _limit(rows @ centres.T, float(targets.mean()))
        model.net.set_head(SHARPNESS * centres, bias)
        step = Step("generalist", asdict(self), time.monotonic() - began, {"by": by})
        return start.then(model, step)


def _name_features(model: NetModel, names: list[str], run: Run) -> Floats:
    preprocess: Any = model.preprocess
    first, *others = columns = preprocess.columns
    frame = pl.DataFrame({first: names, **{name: [""] * len(names) for name in others}})
    table = Table(frame, Roles(inputs={name: "text" for name in columns}))
    return Feed(model.net.backbone, model.preprocess, table, run.cache, run.device).features()


def _class_means(directions: Floats, targets: NDArray[Any], outputs: int) -> Floats:
    """The mean direction of each class (outputs, width); zeros for a class without rows."""
    marks = targets if targets.ndim == 2 else np.eye(outputs)[targets]
    sums = marks.T @ directions
    return np.asarray(sums / np.maximum(marks.sum(axis=0)[:, None], 1), dtype=np.float32)


def _directions(features: Floats) -> Floats:
    """Each row at length 1, or zero."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-9), dtype=np.float32)


def _limit(nearness: Floats, share: float) -> float:
    """A value above which about a share of all of them lies, and none at it: half-way between two
    that are apart, so that no answer hangs on how a processor rounds."""
    ranked = np.sort(nearness, axis=None).astype(np.float64)
    apart = np.flatnonzero(np.diff(ranked) > ROUNDING * max(np.ptp(ranked), 1e-9))
    if not len(apart):
        return float(ranked[-1])
    wanted = (1.0 - share) * len(ranked)
    at = apart[np.abs(apart + 1 - wanted).argmin()]
    return float(ranked[at : at + 2].mean())
