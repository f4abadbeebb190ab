"""How much rows count in learning: a column of the table, so that it goes wherever the rows go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.types import Table

WEIGHT = "__weight__"


def weighed(table: Table, weights: NDArray[np.float64]) -> Table:
    """Return the table with weights (n,), times those that it has, of mean 1."""
    before = table.weights
    found = weights if before is None else weights * before
    found = found / found.mean()
    frame = table.frame.with_columns(pl.Series(WEIGHT, found, dtype=pl.Float64))
    return replace(table, frame=frame, roles=replace(table.roles, weight=WEIGHT))


def by_content(digests: NDArray[np.uint64], weights: NDArray[np.float64]) -> Mapping[int, float]:
    """Return weights by what names a row; rows of equal content share their mean."""
    known, place, counts = np.unique(digests, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=weights, minlength=len(known)) / counts
    return dict(zip(known.tolist(), np.round(means, 12).tolist(), strict=True))
