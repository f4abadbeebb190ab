"""A number in the target's own unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.errors import DataError
from metier.runtime.postprocess import TaskKind
from metier.types import Table

if TYPE_CHECKING:
    import torch

REGRESSION_METRICS = ("rmse", "mae", "r2", "spearman")
ROUNDED = 0.01
"""How far rounding to float32 may move a value, in spreads of the target; beyond that, values that
differ become equal."""


@dataclass(frozen=True)
class Regress:
    """A number. `scale` is the spread of the target, so that losses need no unit.

    When `mae` decides, the loss is a rounded absolute error, else the squared error: a loss that
    asks for the median or for the mean, as the metric does.
    """

    metrics: tuple[str, ...] = REGRESSION_METRICS
    scale: float = 1.0

    @classmethod
    def from_table(cls, table: Table, metric: str | None = None) -> Regress:
        """Measure the spread of a numeric target column.

        Raises DataError for a column that is not of numbers, or whose numbers are all equal or
        too close to each other for float32.
        """
        values = _numbers(table)
        _refuse_text(table, values)
        rounded = _rounded(values)
        known = np.isfinite(rounded)
        finite = values[known]
        if not finite.size or finite.min() == finite.max():
            raise DataError(
                f"column {table.roles.target[0]!r}: "
                f"{'all values are equal' if finite.size else 'no number at all'}; "
                "name another target"
            )
        scale = float(finite.std())
        if np.abs(rounded[known] - finite).max() > ROUNDED * scale:
            raise DataError(
                f"column {table.roles.target[0]!r}: values from {finite.min():.10g} to "
                f"{finite.max():.10g} are too close to each other, or to 0, to be told apart as "
                "32-bit numbers; subtract a constant from all, or use a smaller unit"
            )
        return replace(cls.from_labels((), metric), scale=scale)

    @classmethod
    def from_labels(cls, labels: tuple[str, ...], metric: str | None = None) -> Regress:
        """Make the task without rows, and so without the spread of its target."""
        others = tuple(name for name in REGRESSION_METRICS if name != metric)
        return cls((metric, *others) if metric else others)

    @property
    def kind(self) -> TaskKind:
        return "regression"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def outputs(self) -> int:
        return 1

    def known(self, table: Table) -> NDArray[np.bool_]:
        """Return True for each row whose target is a finite number."""
        return np.isfinite(_rounded(_numbers(table)))

    def encode(self, table: Table) -> NDArray[np.float32]:
        """Return values, float32 (n,). Raises DataError for what is no finite number."""
        values = _numbers(table)
        _refuse_text(table, values)
        rounded = _rounded(values)
        bad = np.flatnonzero(~np.isfinite(rounded))
        if bad.size:
            raise DataError(
                f"column {table.roles.target[0]!r}, row {bad[0]} (the first is 0): the number is "
                "missing or not finite; fill it in or leave the row out"
            )
        return rounded

    def loss(
        self,
        scores: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None = None,
        smoothing: float = 0.0,
    ) -> torch.Tensor:
        """Return the mean loss of (n, 1) scores in units of `scale`; there are no classes to
        weigh and no labels to smooth, so `weights` and `smoothing` change nothing."""
        from torch.nn.functional import mse_loss, smooth_l1_loss

        values, truth = scores.reshape(-1) / self.scale, targets.reshape(-1) / self.scale
        if self.metrics[0] == "mae":
            return smooth_l1_loss(values, truth, beta=0.1)
        return mse_loss(values, truth)


def _column(table: Table) -> pl.Series:
    target = table.target
    if isinstance(target, pl.DataFrame) or target.dtype.is_nested() or target.dtype.is_temporal():
        raise DataError(
            f"target {', '.join(table.roles.target)}: regression needs one column of numbers"
        )
    return target


def _numbers(table: Table) -> NDArray[np.float64]:
    """Return the target as float64 (n,), NaN where it is missing or no number."""
    numbers = _column(table).cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    return np.asarray(numbers, dtype=np.float64)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return values as they are learned; one too large for float32 is infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _refuse_text(table: Table, values: NDArray[np.float64]) -> None:
    column = _column(table)
    if column.dtype.is_numeric():
        return
    for row in np.flatnonzero(np.isnan(values)):
        value = column[int(row)]
        if value is not None and str(value).strip().lower() not in ("", "nan"):
            raise DataError(
                f"column {column.name!r}, row {row} (the first is 0): {str(value)!r} is no "
                "number, which regression needs; use --task multiclass or name another target"
            )
