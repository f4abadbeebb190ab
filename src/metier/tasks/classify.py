"""One class of several, or any number of labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.errors import DataError, suggest
from metier.runtime.postprocess import TaskKind
from metier.tasks.labels import indices, natural_key, order, spell
from metier.types import Table

if TYPE_CHECKING:
    import torch

DOMINANT = 0.9
"""From this share of the biggest class on, accuracy says nearly nothing: always answering that
class looks excellent. Balanced accuracy decides then. (In a binary task: a ratio of 9 to 1.)"""

BINARY_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "f1_macro",
    "roc_auc",
    "average_precision",
    "mcc",
    "log_loss",
    "brier",
    "calibration_error",
)
MULTICLASS_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_micro",
    "precision_macro",
    "recall_macro",
    "roc_auc",
    "average_precision",
    "mcc",
    "log_loss",
    "brier",
    "calibration_error",
)
MULTILABEL_METRICS = (
    "f1_micro",
    "f1_macro",
    "subset_accuracy",
    "precision_micro",
    "recall_micro",
    "average_precision",
    "roc_auc",
    "log_loss",
    "brier",
    "calibration_error",
)


@dataclass(frozen=True)
class Classify:
    """One class of several: binary when there are two, `labels[1]` being the positive one."""

    labels: tuple[str, ...]
    metrics: tuple[str, ...] = MULTICLASS_METRICS

    @classmethod
    def from_table(cls, table: Table, metric: str | None = None) -> Classify:
        """Find the labels in a target column. Raises DataError when there are fewer than two.

        The deciding metric, unless given, is accuracy, or balanced accuracy when one class has
        90 % of the rows or more. See `metier.tasks.labels.order` for which of two is positive.
        """
        texts = _single(table)
        counts = Counter(texts.drop_nulls().to_list())
        if len(counts) < 2:
            found = f"one class only ({next(iter(counts))!r})" if counts else "no label at all"
            raise DataError(
                f"column {table.roles.target[0]!r}: {found}; "
                "give rows of at least two classes, or name another target"
            )
        plain = cls.from_labels(order(counts))
        metrics = plain.metrics
        if max(counts.values()) >= DOMINANT * sum(counts.values()):
            metrics = _first("balanced_accuracy", metrics)
        return cls(plain.labels, _first(metric, metrics))

    @classmethod
    def from_labels(cls, labels: tuple[str, ...], metric: str | None = None) -> Classify:
        """Make the task of these labels, in this order, without rows."""
        usual: tuple[str, ...] = BINARY_METRICS if len(labels) == 2 else MULTICLASS_METRICS
        return cls(labels, _first(metric, usual))

    @property
    def kind(self) -> TaskKind:
        return "binary" if len(self.labels) == 2 else "multiclass"

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def known(self, table: Table) -> NDArray[np.bool_]:
        """Return True for each row whose label is one of `labels`."""
        return indices(_single(table), self.labels) >= 0

    def encode(self, table: Table) -> NDArray[np.int64]:
        """Return label indices, int64 (n,). Raises DataError for a missing or unknown label."""
        texts = _single(table)
        found = indices(texts, self.labels)
        if (found < 0).any():
            row = int(np.argmin(found))
            raise _unknown(table.roles.target[0], row, texts[row], self.labels)
        return found

    def loss(
        self,
        scores: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None = None,
        smoothing: float = 0.0,
    ) -> torch.Tensor:
        """Return the mean cross-entropy; `weights` (outputs,) weigh the classes."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(scores, targets, weight=weights, label_smoothing=smoothing)


@dataclass(frozen=True)
class Multilabel:
    """Any number of labels at once, none included."""

    labels: tuple[str, ...]
    metrics: tuple[str, ...] = MULTILABEL_METRICS

    @classmethod
    def from_table(cls, table: Table, metric: str | None = None) -> Multilabel:
        """Find the labels: the members of a column of lists, or the names of 0/1 columns."""
        names = table.roles.target
        if len(names) > 1:
            labels = names
        else:
            labels = tuple(sorted(_lists(table).explode().drop_nulls().unique(), key=natural_key))
        if not labels:
            raise DataError(f"column {names[0]!r}: no label at all; name another target")
        return cls.from_labels(labels, metric)

    @classmethod
    def from_labels(cls, labels: tuple[str, ...], metric: str | None = None) -> Multilabel:
        """Make the task of these labels, in this order, without rows."""
        return cls(labels, _first(metric, MULTILABEL_METRICS))

    @property
    def kind(self) -> TaskKind:
        return "multilabel"

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def known(self, table: Table) -> NDArray[np.bool_]:
        """Return True for each row whose labels are all among `labels`."""
        if len(table.roles.target) > 1:
            flags = _flags(table, self.labels)
            return np.array([bool(np.isfinite(row).all()) for row in flags], dtype=np.bool_)
        known = set(self.labels)
        return np.array([row is not None and known.issuperset(row) for row in _lists(table)])

    def encode(self, table: Table) -> NDArray[np.float32]:
        """Return 0/1 flags, float32 (n, labels). Raises DataError for an unknown label."""
        if len(table.roles.target) > 1:
            return self._encode_flags(table)
        lists = _lists(table)
        place = {label: i for i, label in enumerate(self.labels)}
        found = np.zeros((len(table), len(self.labels)), dtype=np.float32)
        for row, members in enumerate(lists):
            if members is None:
                raise _unknown(table.roles.target[0], row, None, self.labels)
            for label in members:
                if label not in place:
                    raise _unknown(table.roles.target[0], row, label, self.labels)
                found[row, place[label]] = 1.0
        return found

    def _encode_flags(self, table: Table) -> NDArray[np.float32]:
        found = _flags(table, self.labels)
        if np.isnan(found).any():
            row, j = (int(v) for v in np.argwhere(np.isnan(found))[0])
            value = table.frame[self.labels[j]][row]
            raise _unknown(self.labels[j], row, None if value is None else str(value), ("0", "1"))
        return found

    def loss(
        self,
        scores: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None = None,
        smoothing: float = 0.0,
    ) -> torch.Tensor:
        """Return the mean binary cross-entropy; `weights` (outputs,) weigh a label's presence."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        soft = targets * (1.0 - smoothing) + 0.5 * smoothing
        return binary_cross_entropy_with_logits(scores, soft, pos_weight=weights)


def _first(metric: str | None, metrics: tuple[str, ...]) -> tuple[str, ...]:
    if metric is None:
        return metrics
    return (metric, *(name for name in metrics if name != metric))


def _single(table: Table) -> pl.Series:
    target = table.target
    if isinstance(target, pl.DataFrame) or isinstance(target.dtype, pl.List | pl.Array):
        raise DataError(
            f"target {', '.join(table.roles.target)}: several labels a row; use --task multilabel"
        )
    return spell(target)


def _lists(table: Table) -> pl.Series:
    target = table.target
    if not isinstance(target, pl.Series) or not isinstance(target.dtype, pl.List | pl.Array):
        raise DataError(
            f"column {table.roles.target[0]!r}: a multi-label target is a column of lists, or "
            "several 0/1 columns; name several with --target, or use --task multiclass"
        )
    return target.cast(pl.List(pl.String))


def _flags(table: Table, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return 0/1 flags (n, names), NaN where a cell is missing or is neither."""
    missing = [name for name in names if name not in table.frame.columns]
    if missing:
        raise DataError(f"no column {missing[0]!r}{suggest(missing[0], table.frame.columns)}")
    columns = [
        table.frame[name].cast(pl.Float32, strict=False).fill_null(np.nan).to_numpy()
        for name in names
    ]
    found = np.stack(columns, axis=1).astype(np.float32)
    found[(found != 0.0) & (found != 1.0)] = np.nan
    return found


def _unknown(column: str, row: int, label: str | None, labels: tuple[str, ...]) -> DataError:
    where = f"column {column!r}, row {row} (the first is 0)"
    if label is None:
        return DataError(f"{where}: the label is missing; fill it in or leave the row out")
    shown = labels if len(labels) <= 20 else (*labels[:20], "...")
    return DataError(f"{where}: unknown label {label!r}{suggest(label, shown)}")
