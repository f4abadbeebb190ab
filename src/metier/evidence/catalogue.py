"""Every metric by name: its direction, the tasks it is for, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from metier.errors import OptionError, suggest
from metier.evidence import counts, losses, ranks
from metier.evidence.answers import Array, Sample
from metier.evidence.words import number, percent
from metier.runtime.postprocess import TaskKind

LossUnit = Literal["points", "per cent"]


@dataclass(frozen=True)
class Metric:
    """One measure of how good answers are.

    Args:
        name: what the user types.
        title: how a sentence calls it.
        kinds: the kinds of task it is defined for.
        higher_is_better: its direction.
        needs: whether it looks at decisions or at the probabilities behind them.
        compute: from a sample to one value a resample.
        best: the value of perfect answers; None when no best value is fixed.
        worst: the value of the worst answers; None when there is none.
        share: whether it is a share of rows, told in per cent, with an exact kind of interval;
            for a share of only some rows, `among` counts those.
        among: from a sample to the number of rows that it is a share of.
        finish: applied to `compute`; bootstrap values are centred before it, because what it is
            applied to is already freed of the bias that resampling adds.
    """

    name: str
    title: str
    kinds: tuple[TaskKind, ...]
    higher_is_better: bool
    needs: Literal["choices", "probabilities"]
    compute: Callable[[Sample], Array]
    best: float | None = None
    worst: float | None = None
    share: bool = False
    among: Callable[[Sample], Array] | None = None
    finish: Callable[[Array], Array] | None = None

    @property
    def per_row(self) -> bool:
        """Whether it is the share of all rows that are answered right."""
        return self.among is _rows

    @property
    def loss_unit(self) -> LossUnit:
        """What a loss is told in: points (hundredths) where the best value is 1, else per cent of
        what it was."""
        return "points" if self.best == 1.0 else "per cent"

    def value(self, sample: Sample) -> Array:
        """Return the metric of each resample."""
        found = self.compute(sample)
        return found if self.finish is None else self.finish(found)

    def show(self, value: float) -> str:
        """Return a value in words: per cent for shares, else a number."""
        return f"{percent(value)} %" if self.share else number(value)


_ONE: tuple[TaskKind, ...] = ("binary", "multiclass")
_ANY: tuple[TaskKind, ...] = ("binary", "multiclass", "multilabel")


def _decided(
    name: str,
    title: str,
    compute: Callable[[Sample], Array],
    kinds: tuple[TaskKind, ...],
    **more: Any,
) -> Metric:
    settings: dict[str, Any] = {"best": 1.0, "worst": 0.0, **more}
    return Metric(name, title, kinds, True, "choices", compute, **settings)


def _rows(sample: Sample) -> Array:
    return sample.total


def _chosen(sample: Sample) -> Array:
    return np.asarray(sample.counts.choices[1])


def _positives(sample: Sample) -> Array:
    return np.asarray(sample.counts.truths[1])


_ALL = (
    _decided("accuracy", "accuracy", counts.accuracy, _ONE, share=True, among=_rows),
    _decided("balanced_accuracy", "balanced accuracy", counts.balanced_accuracy, _ONE),
    _decided("precision", "precision", counts.precision, ("binary",), share=True, among=_chosen),
    _decided("recall", "recall", counts.recall, ("binary",), share=True, among=_positives),
    _decided("f1", "F1", counts.f1, ("binary",)),
    _decided("precision_macro", "macro precision", counts.precision_macro, _ANY),
    _decided("recall_macro", "macro recall", counts.recall_macro, _ANY),
    _decided("f1_macro", "macro F1", counts.f1_macro, _ANY),
    _decided("precision_micro", "micro precision", counts.precision_micro, _ANY),
    _decided("recall_micro", "micro recall", counts.recall_micro, _ANY),
    _decided("f1_micro", "micro F1", counts.f1_micro, _ANY),
    _decided(
        "subset_accuracy",
        "subset accuracy",
        counts.accuracy,
        ("multilabel",),
        share=True,
        among=_rows,
    ),
    _decided("mcc", "Matthews correlation", counts.mcc, _ONE, worst=-1.0),
    Metric("cost", "mean cost of an answer", _ONE, False, "choices", counts.cost, best=0.0),
    Metric("roc_auc", "ROC-AUC", _ANY, True, "probabilities", ranks.roc_auc, 1.0, 0.0),
    Metric(
        "average_precision",
        "average precision",
        _ANY,
        True,
        "probabilities",
        ranks.average_precision,
        1.0,
        0.0,
    ),
    Metric("log_loss", "log loss", _ANY, False, "probabilities", losses.log_loss, 0.0),
    Metric("brier", "Brier score", _ANY, False, "probabilities", losses.brier, 0.0),
    Metric(
        "calibration_error",
        "calibration error",
        _ANY,
        False,
        "probabilities",
        losses.squared_calibration_error,
        0.0,
        finish=losses.root,
    ),
    Metric("rmse", "root mean squared error", ("regression",), False, "choices", losses.rmse, 0.0),
    Metric("mae", "mean absolute error", ("regression",), False, "choices", losses.mae, 0.0),
    Metric("r2", "R²", ("regression",), True, "choices", losses.r2, 1.0),
    Metric(
        "spearman", "Spearman correlation", ("regression",), True, "choices", ranks.spearman, 1.0
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def names(kind: TaskKind) -> list[str]:
    """Return the names of the metrics that a kind of task has."""
    return [metric.name for metric in _ALL if kind in metric.kinds]


def find(name: str, kind: TaskKind | None = None) -> Metric:
    """Return the metric of a name. Raises OptionError when it is unknown or unfit for the kind."""
    known = names(kind) if kind else list(METRICS)
    if name in known:
        return METRICS[name]
    why = (
        f"metric {name!r} is not defined for {kind} tasks"
        if name in METRICS
        else (f"unknown metric {name!r}")
    )
    raise OptionError(why + suggest(name, known))
