"""A Gaussian copula: each column as it is by itself, and how columns go together as one normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from metier.training.tables.madeup import Cells

Numbers = NDArray[np.float64]
EDGE = 1e-6


@dataclass(frozen=True)
class Copula:
    """What was learned of some rows (Nelsen, 2006; for tables: Patki et al., 2016).

    Numbers go through their own empirical quantiles, with missing cells below all of them;
    categories are cut out of a normal in the order of how frequent they are.

    Args:
        cells: the rows.
        root: (columns, columns) what turns independent normals into ones that go together.
    """

    cells: Cells
    root: Numbers

    def draw(self, count: int, random: np.random.Generator) -> Cells:
        """Return so many made-up rows."""
        latent = random.standard_normal((count, len(self.root))) @ self.root.T
        shares = norm.cdf(latent)
        width = self.cells.numbers.shape[1]
        numbers = [_quantiles(self.cells.numbers[:, j], shares[:, j]) for j in range(width)]
        codes = [
            _cut(self.cells.codes[:, j], shares[:, width + j])
            for j in range(self.cells.codes.shape[1])
        ]
        return Cells(
            np.stack(numbers, axis=1) if numbers else np.zeros((count, 0)),
            np.stack(codes, axis=1) if codes else np.zeros((count, 0), np.int64),
        )


def fit_copula(cells: Cells, random: np.random.Generator) -> Copula:
    """Learn the copula of some rows, two at least. Few rows shrink the correlations (Ledoit and
    Wolf, 2004)."""
    from sklearn.covariance import ledoit_wolf

    width = cells.numbers.shape[1]
    latent = [_ranked(cells.numbers[:, j], random) for j in range(width)]
    latent += [_spread(cells.codes[:, j], random) for j in range(cells.codes.shape[1])]
    normals = np.stack(latent, axis=1)
    normals = (normals - normals.mean(axis=0)) / np.maximum(normals.std(axis=0), 1e-9)
    together, _ = ledoit_wolf(normals, assume_centered=True)
    scale = np.sqrt(np.maximum(np.diag(together), 1e-12))
    together = together / np.outer(scale, scale) + EDGE * np.eye(len(together))
    return Copula(cells, np.linalg.cholesky(together))


def _ranked(values: Numbers, random: np.random.Generator) -> Numbers:
    """Normal scores of the ranks; ties, and missing cells below all others, fall in any order."""
    filled = np.where(np.isnan(values), -np.inf, values)
    order = np.lexsort((random.random(len(values)), filled))
    ranks = np.empty(len(values))
    ranks[order] = rankdata(np.arange(len(values)))
    return np.asarray(norm.ppf((ranks - 0.5) / len(values)))


def _spread(codes: NDArray[np.int64], random: np.random.Generator) -> Numbers:
    """A place within the part of the normal that belongs to each category."""
    order, ends = _parts(codes)
    place = np.empty(int(codes.max(initial=0)) + 1, dtype=np.int64)
    place[order] = np.arange(len(order))
    starts = np.concatenate([[0.0], ends[:-1]])
    own = place[codes]
    shares = starts[own] + (ends - starts)[own] * random.random(len(codes))
    return np.asarray(norm.ppf(np.clip(shares, EDGE, 1 - EDGE)))


def _parts(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], Numbers]:
    """The categories, frequent ones first, and where the part of each one ends."""
    known, counts = np.unique(codes, return_counts=True)
    order = np.lexsort((known, -counts))
    return known[order], np.cumsum(counts[order]) / len(codes)


def _quantiles(values: Numbers, shares: Numbers) -> Numbers:
    """Numbers at the given shares of a column; the lowest shares are its missing cells."""
    known = np.sort(values[~np.isnan(values)])
    missing = 1 - len(known) / len(values)
    if not len(known):
        return np.full(len(shares), np.nan)
    within = np.clip((shares - missing) / max(1 - missing, EDGE), 0.0, 1.0)
    found = np.quantile(known, within)
    return np.where(shares < missing, np.nan, found)


def _cut(codes: NDArray[np.int64], shares: Numbers) -> NDArray[np.int64]:
    order, ends = _parts(codes)
    return order[np.minimum(np.searchsorted(ends, shares), len(order) - 1)]
