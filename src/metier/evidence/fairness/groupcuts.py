"""A threshold for each group, so that groups are answered alike at the least cost.

Hardt et al. (2016, "Equality of opportunity in supervised learning"), but deterministic: their
lottery between two thresholds is left out, so that the same person always gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import Array
from metier.evidence.fairness.disparity import RATE, Kind
from metier.runtime.groups import GroupColumn, GroupThresholds, joined
from metier.runtime.postprocess import Decision

CANDIDATES = 60
FEWEST = 50
"""Rows of a group, of all columns crossed, from which it gets a threshold of its own; `RATE` of
each class must be among them."""
SWEEPS = 12
PRESSING = 2.0
"""What a point of disparity beyond the limit costs, in points of accuracy. More would chase the
noise of the rows that fit."""
EASING = 0.2
"""What a point within the limit costs: of equally accurate ones the evener is taken."""


def fit_group_thresholds(
    scores: NDArray[np.floating],
    targets: NDArray[np.int64],
    cells: Mapping[str, Sequence[object]],
    columns: Sequence[GroupColumn],
    decision: Decision,
    kind: Kind,
    limit: float,
) -> Decision:
    """Return the decision with thresholds by group.

    Rows should be ones that trained nothing. Thresholds are moved one group at a time, from the
    common one on, as long as that pays: fewer errors, or cheaper ones where the decision has costs,
    and a disparity within the limit. A group with too few rows keeps the common threshold.

    Args:
        scores: (n, 2).
        targets: (n,) 0 or 1.
        cells: the columns that make the groups, n cells each.
        columns: how they do.
        decision: temperature, costs and common threshold.
        kind: what the groups shall have in common, in each column.
        limit: how far they may lie apart.
    """
    if decision.costs:
        decision = replace(decision, thresholds=(decision.common,))
    chances = decision.probabilities(scores)[:, 1]
    by_column = [each.of(cells[each.name]) for each in columns]
    crossed = np.asarray(joined(by_column), dtype=str)
    names, counts = np.unique(crossed, return_counts=True)
    positives = np.array([(targets[crossed == name] > 0).sum() for name in names])
    both = np.minimum(positives, counts - positives) >= RATE
    own = [str(name) for name in names[(counts >= FEWEST) & both]]
    if len(own) < 2:  # nobody to bring together
        return replace(decision, groups=GroupThresholds(tuple(columns)))
    search = _Search.prepare(chances, targets, crossed, own, by_column, decision, kind)
    found = search.run(limit)
    thresholds = {name: round(float(v), 6) for name, v in zip(own, found, strict=True)}
    return replace(decision, groups=GroupThresholds(tuple(columns), thresholds))


@dataclass(frozen=True)
class _Search:
    """Counts from which errors and disparity of any choice of thresholds follow.

    Args:
        candidates: (cells, candidates) thresholds to choose among.
        chosen: (cells + 1, candidates, 2) rows at or above each, by truth; the last cell holds all
            small groups, under the common threshold.
        members: for each column, (groups, cells + 1, 2): how many rows of each truth a group has
            in each cell. A cell lies in one group of every column.
        small: for each column, (groups, 2, 2): how many rows of each truth it has under the common
            threshold, and how many of them are at or above it.
        kind: what is compared.
        n: rows.
        first: (cells,) the common threshold among the candidates.
        weights: what a false alarm and a miss count, 1 in the mean.
    """

    candidates: Array
    chosen: Array
    totals: Array
    members: tuple[Array, ...]
    small: tuple[Array, ...]
    kind: Kind
    n: int
    first: NDArray[np.int64]
    weights: tuple[float, float]

    @classmethod
    def prepare(
        cls,
        chances: Array,
        targets: NDArray[np.int64],
        crossed: NDArray[np.str_],
        own: Sequence[str],
        by_column: Sequence[Sequence[str]],
        decision: Decision,
        kind: Kind,
    ) -> _Search:
        """Count the rows of each cell at or above every candidate, once for all choices.

        Args:
            chances: (n,) probabilities of the positive class.
            targets: (n,) 0 or 1.
            crossed: (n,) the cell of each row, of all columns.
            own: cells that get a threshold of their own.
            by_column: the group of each row in each column.
            decision: its common threshold and costs.
            kind: what is compared.
        """
        common, (alarm, miss) = decision.common, decision.dear
        candidates = np.stack([_candidates(chances[crossed == name], common) for name in own]) \
            if own else np.zeros((0, CANDIDATES))  # fmt: skip
        chosen = np.zeros((*candidates.shape, 2))
        totals = np.zeros((len(own), 2))
        for k, name in enumerate(own):
            for y in (0, 1):
                values = np.sort(chances[(crossed == name) & (targets == y)])
                totals[k, y] = len(values)
                chosen[k, :, y] = len(values) - np.searchsorted(values, candidates[k])
        rest = ~np.isin(crossed, own)
        members, small = [], []
        for names in by_column:
            groups = np.asarray(names, dtype=str)
            known = np.unique(groups)
            within = np.array(
                [[float((groups[crossed == name] == g).any()) for name in own] for g in known]
            ).reshape(len(known), len(own))
            fixed = np.zeros((len(known), 2, 2))
            for i, g in enumerate(known):
                for y in (0, 1):
                    rows = rest & (groups == g) & (targets == y)
                    fixed[i, y] = rows.sum(), (chances[rows] >= common).sum()
            members.append(within)
            small.append(fixed)
        first = np.abs(candidates - common).argmin(axis=1) if own else np.zeros(0, dtype=np.int64)
        mean = (alarm + miss) / 2.0
        return cls(
            candidates,
            chosen,
            totals,
            tuple(members),
            tuple(small),
            kind,
            len(chances),
            first,
            (alarm / mean, miss / mean) if mean > 0 else (1.0, 1.0),
        )

    def run(self, limit: float) -> Array:
        """Return the best threshold of each cell."""
        starts = [self.first, *self._evened()]
        ends = [self._descend(start, limit) for start in starts]
        best = min(ends, key=lambda end: end[0])[1]
        return self.candidates[np.arange(len(best)), best]

    def _evened(self) -> list[NDArray[np.int64]]:
        """Starts at which every cell is selected equally often."""
        shares = self.chosen.sum(axis=2) / np.maximum(self.totals.sum(axis=1), 1.0)[:, None]
        return [np.abs(shares - share).argmin(axis=1) for share in np.linspace(0.05, 0.6, 8)]

    def _descend(self, start: NDArray[np.int64], limit: float) -> tuple[float, NDArray[np.int64]]:
        """Move one cell at a time to its best threshold until no move pays."""
        at, best = start.copy(), self._cost(start[None, :], limit)[0]
        for _ in range(SWEEPS):
            before = best
            for cell in range(len(at)):
                tried = np.repeat(at[None, :], self.candidates.shape[1], axis=0)
                tried[:, cell] = np.arange(self.candidates.shape[1])
                costs = self._cost(tried, limit)
                place = int(costs.argmin())
                if costs[place] < best - 1e-12:
                    at, best = tried[place].copy(), float(costs[place])
            if best >= before - 1e-12:
                break
        return float(best), at

    def _cost(self, at: NDArray[np.int64], limit: float) -> Array:
        """Return errors and pressing disparity of choices (m, cells), (m,)."""
        selected = self.chosen[np.arange(at.shape[1])[None, :], at]  # (m, cells, 2)
        missed = (self.totals[None, :, 1] - selected[:, :, 1]).sum(axis=1)
        alarm, miss = self.weights
        errors = alarm * selected[:, :, 0].sum(axis=1) + miss * missed
        apart = np.zeros(len(at))
        for within, fixed in zip(self.members, self.small, strict=True):
            apart = np.maximum(apart, self._apart(selected, within, fixed))
        excess = np.maximum(apart - limit, 0.0)
        return np.asarray(errors / self.n + PRESSING * excess + EASING * 0.01 * apart)

    def _apart(self, selected: Array, within: Array, fixed: Array) -> Array:
        of = np.einsum("gc,cy->gy", within, self.totals) + fixed[:, :, 0]
        hits = np.einsum("gc,mcy->mgy", within, selected) + fixed[None, :, :, 1]
        if self.kind == "parity":
            of, hits = of.sum(axis=1, keepdims=True), hits.sum(axis=2, keepdims=True)
        large = np.where(of.sum(axis=1) >= FEWEST)[0]
        found = np.zeros(len(selected))
        for y in range(of.shape[1]):
            usable = [g for g in large if of[g, y] >= RATE]
            if len(usable) > 1:
                rates = hits[:, usable, y] / of[usable, y]
                found = np.maximum(found, rates.max(axis=1) - rates.min(axis=1))
        return found


def _candidates(chances: Array, common: float) -> Array:
    """Return thresholds between neighbouring probabilities of a group, and the common one."""
    steps = np.quantile(chances, np.linspace(0.0, 1.0, CANDIDATES + 1))
    between = (steps[1:] + steps[:-1]) / 2.0
    between[np.abs(between - common).argmin()] = common
    return np.sort(between)
