"""The worst-served regions that nobody named: found on one half of the rows, tested on the other.

A shallow tree learns where the errors are from what can be read of the rows; its worst regions are
then judged on rows that it did not see, all of them considered (Holm, 1979). Rows that belong
together lie in one half, and count as one piece of evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from metier.evidence import bootstrap
from metier.evidence.answers import Answers, Array
from metier.evidence.compare import holm
from metier.evidence.fairness.means import means_of
from metier.evidence.readable import Feature
from metier.evidence.words import number, percent, points, whole
from metier.types import Finding, Floats

FEWEST_ROWS = 200
"""Rows below which no region is looked for: a half of them says nothing about a part of it."""
FEWEST = 20
"""Rows of a region in each half."""
FEWEST_GROUPS = 5
"""Groups of rows, where rows come in groups, within a region and elsewhere."""
DEPTH, MOST = 3, 5
"""Conditions that a region has at most, and regions that are tested."""
LEVEL, SURE = 0.95, 0.05


@dataclass(frozen=True)
class Condition:
    """One end of a feature: above or at most `cut`."""

    feature: int
    cut: float
    above: bool

    def holds(self, features: Floats) -> NDArray[np.bool_]:
        """Return True for each row that meets it."""
        values = features[:, self.feature]
        return np.asarray(values > self.cut if self.above else values <= self.cut)


Region = tuple[Condition, ...]


def find_slices(
    answers: Answers,
    features: Floats,
    names: Sequence[Feature],
    rows: NDArray[np.int64],
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
) -> list[Finding]:
    """Return the regions that are served worse than the rest, the most certain first.

    Args:
        answers: the truth and what was answered, n rows.
        features: (n, features) what can be read of them.
        names: what the features are called.
        rows: (n,) where the rows stand in the data given.
        seed: of the halves.
        clusters: (n,) groups of rows that belong together.

    `value` is how much worse a region is than everything else: points of being right, or of the
    mean absolute error. Regions that the other half does not confirm are not returned; the last
    finding, `slices`, says how many were looked at.
    """
    if len(answers) < FEWEST_ROWS or not features.shape[1]:
        told = f"regions that are served worse are looked for from {FEWEST_ROWS} rows on"
        return [Finding("slices", told, n=len(answers))]
    loss, regression = losses_of(answers), answers.kind == "regression"
    look, test = _halves(len(loss), clusters, seed)
    if min(len(look), len(test)) < FEWEST_ROWS // 4:
        told = "too few groups of rows to look for regions in one half and to judge by the other"
        return [Finding("slices", told, n=len(answers))]
    regions = worst_regions(features[look], loss[look], seed)
    codes = None if clusters is None else bootstrap.groups(clusters, len(loss))[0]
    tested = [_tested(region, features, loss, test, regression, codes) for region in regions]
    kept = [each for each in tested if each is not None]
    adjusted = holm([each.p for each in kept])
    found = [
        each.finding(names, adjusted[i], rows, features, regression)
        for i, each in enumerate(kept)
        if adjusted[i] < SURE and each.worse > 0
    ]
    found.sort(key=lambda each: -(each.value or 0.0))
    told = (
        f"of the regions found on one half of the rows {len(kept)} were tested on the other half "
        f"({whole(len(test))} rows{_groups(codes, test)}); served worse there too: {len(found)}"
    )
    return [*found, Finding("slices", told, float(len(found)), n=len(test))]


def _halves(
    n: int, clusters: NDArray[np.int64] | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that find regions and those that judge them, groups kept on one side."""
    codes, size = bootstrap.groups(clusters, n)
    order = np.random.default_rng((seed, 7)).permutation(size)
    first = np.cumsum(np.bincount(codes, minlength=size)[order]) <= n // 2
    looks = np.zeros(size, dtype=np.bool_)
    looks[order[first]] = True
    return np.flatnonzero(looks[codes]), np.flatnonzero(~looks[codes])


def _groups(codes: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> str:
    return "" if codes is None else f" in {whole(len(np.unique(codes[rows])))} groups"


def losses_of(answers: Answers) -> Array:
    """Return what each row loses: 1 where it is answered wrong, or its absolute error."""
    if answers.kind == "regression":
        error = np.asarray(answers.choices, np.float64) - np.asarray(answers.truth, np.float64)
        return np.abs(error)
    return np.asarray(1.0 - answers.right)


def worst_regions(features: Floats, loss: Array, seed: int = 0) -> list[Region]:
    """Return regions with more loss than the rest, from a shallow tree (Breiman et al., 1984)."""
    from sklearn.tree import DecisionTreeRegressor

    leaf = max(FEWEST, len(loss) // 25)
    fitted = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=leaf, random_state=seed)
    tree = fitted.fit(features, loss).tree_
    found: list[tuple[float, Region]] = []

    def walk(node: int, path: Region) -> None:
        n, mean = tree.n_node_samples[node], float(tree.value[node, 0, 0])
        if path:
            rest = (loss.sum() - n * mean) / max(len(loss) - n, 1)
            spread = float(loss.std()) or 1.0
            found.append(((mean - rest) / spread * np.sqrt(n), path))
        if tree.children_left[node] >= 0:
            feature, cut = int(tree.feature[node]), float(tree.threshold[node])
            walk(tree.children_left[node], (*path, Condition(feature, cut, above=False)))
            walk(tree.children_right[node], (*path, Condition(feature, cut, above=True)))

    walk(0, ())
    worse = sorted((each for each in found if each[0] > 1), key=lambda each: -each[0])
    kept: list[Region] = []
    for _, region in worse:
        # What lies within a worse region, or around it, is the same news again.
        if not any(_nested(region, other) for other in kept):
            kept.append(region)
    return kept[:MOST]


def _nested(a: Region, b: Region) -> bool:
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


@dataclass(frozen=True)
class _Tested:
    """A region on the half that did not find it: loss inside and elsewhere."""

    region: Region
    inside: float
    elsewhere: float
    n: int
    groups: str
    worse: float
    low: float
    high: float
    p: float

    def finding(
        self,
        names: Sequence[Feature],
        p: float,
        rows: NDArray[np.int64],
        features: Floats,
        regression: bool,
    ) -> Finding:
        words = told(self.region, names)
        if regression:
            verdict = (
                f"{words}: mean absolute error {number(self.inside)} against "
                f"{number(self.elsewhere)} elsewhere, n = {whole(self.n)}{self.groups}, "
                f"{number(self.low)} to {number(self.high)} more"
            )
        else:
            verdict = (
                f"{words}: {percent(1 - self.inside)} % right against "
                f"{percent(1 - self.elsewhere)} % elsewhere, n = {whole(self.n)}{self.groups}, "
                f"{_signed(-self.high)} to {_signed(-self.low)} points"
            )
        details = {"p_adjusted": p, "region": words, "inside": self.inside,
                   "elsewhere": self.elsewhere, "level": LEVEL}  # fmt: skip
        own = rows[_within(self.region, features)]
        return Finding(f"slice[{words}]", verdict, self.worse, self.low, self.high, self.n,
                       "warning", tuple(sorted(own.tolist())), details)  # fmt: skip


def _tested(
    region: Region,
    features: Floats,
    loss: Array,
    test: NDArray[np.int64],
    regression: bool,
    codes: NDArray[np.int64] | None,
) -> _Tested | None:
    """Judge a region on rows that did not find it; None where too few of them lie in it."""
    within = _within(region, features[test])
    sets = test[within], test[~within]
    if min(len(each) for each in sets) < FEWEST:
        return None
    if codes is not None and min(len(np.unique(codes[each])) for each in sets) < FEWEST_GROUPS:
        return None
    means = means_of(loss, sets, codes)
    ends = (means.of_numbers if regression else means.of_shares)(LEVEL)
    low, high = (float(each[0, 1]) for each in ends)
    worse = float(means.apart[0, 1])
    p = float(means.p[0, 1])
    if not regression:
        pooled = _pooled(worse, float(loss[test].mean()), means.rows)
        p = pooled if codes is None else max(p, pooled)
    inside, elsewhere = (float(mean) for mean in means.mean)
    n = len(sets[0])
    return _Tested(region, inside, elsewhere, n, _groups(codes, sets[0]), worse, low, high, p)


def _pooled(worse: float, share: float, rows: Array) -> float:
    """Return the p-value of a difference of two shares, of independent rows."""
    spread = float(np.sqrt(share * (1 - share) * (1 / rows).sum()))
    return 2.0 * float(ndtr(-abs(worse) / spread)) if spread > 0 else 1.0


def _within(region: Region, features: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.logical_and.reduce([each.holds(features) for each in region]))


def told(region: Region, names: Sequence[Feature]) -> str:
    """Return a region in words: the tightest end of each feature."""
    ends: dict[tuple[int, bool], Condition] = {}
    for each in region:
        before = ends.get((each.feature, each.above))
        tighter = before is None or (each.cut > before.cut) == each.above
        if tighter:
            ends[each.feature, each.above] = each
    said = [
        names[each.feature].above(each.cut) if each.above else names[each.feature].below(each.cut)
        for each in ends.values()
    ]
    return " and ".join(said)


def _signed(difference: float) -> str:
    return f"{'−' if difference < 0 else '+'}{points(difference)}"
