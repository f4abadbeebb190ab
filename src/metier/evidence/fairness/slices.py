"""The worst-served regions that nobody named: found on one half of the rows, tested on the other.

A shallow tree learns where the errors are from what can be read of the rows; its worst regions are
then judged on rows that it did not see, all of them considered (Holm, 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from metier.evidence.answers import Answers, Array
from metier.evidence.bootstrap import wilson
from metier.evidence.compare import holm
from metier.evidence.readable import Feature
from metier.evidence.words import number, percent, points, whole
from metier.types import Finding, Floats

FEWEST_ROWS = 200
"""Rows below which no region is looked for: a half of them says nothing about a part of it."""
FEWEST = 20
"""Rows of a region in each half."""
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
) -> list[Finding]:
    """Return the regions that are served worse than the rest, the most certain first.

    Args:
        answers: the truth and what was answered, n rows.
        features: (n, features) what can be read of them.
        names: what the features are called.
        rows: (n,) where the rows stand in the data given.
        seed: of the halves.

    `value` is how much worse a region is than everything else: points of being right, or of the
    mean absolute error. Regions that the other half does not confirm are not returned; the last
    finding, `slices`, says how many were looked at.
    """
    if len(answers) < FEWEST_ROWS or not features.shape[1]:
        told = f"regions that are served worse are looked for from {FEWEST_ROWS} rows on"
        return [Finding("slices", told, n=len(answers))]
    loss = losses_of(answers)
    order = np.random.default_rng((seed, 7)).permutation(len(loss))
    look, test = order[: len(order) // 2], order[len(order) // 2 :]
    regions = worst_regions(features[look], loss[look], seed)
    tested = [_tested(region, features, loss, test, answers.kind == "regression")
              for region in regions]  # fmt: skip
    kept = [each for each in tested if each is not None]
    adjusted = holm([each.p for each in kept])
    found = [
        each.finding(names, adjusted[i], rows, features, answers.kind == "regression")
        for i, each in enumerate(kept)
        if adjusted[i] < SURE and each.worse > 0
    ]
    found.sort(key=lambda each: -(each.value or 0.0))
    told = (
        f"of the regions found on one half of the rows {len(kept)} were tested on the other half "
        f"({whole(len(test))} rows); served worse there too: {len(found)}"
    )
    return [*found, Finding("slices", told, float(len(found)), n=len(test))]


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
                f"{number(self.elsewhere)} elsewhere, n = {whole(self.n)}, "
                f"{number(self.low)} to {number(self.high)} more"
            )
        else:
            verdict = (
                f"{words}: {percent(1 - self.inside)} % right against "
                f"{percent(1 - self.elsewhere)} % elsewhere, n = {whole(self.n)}, "
                f"{_signed(-self.high)} to {_signed(-self.low)} points"
            )
        details = {"p_adjusted": p, "region": words, "inside": self.inside,
                   "elsewhere": self.elsewhere, "level": LEVEL}  # fmt: skip
        own = rows[_within(self.region, features)]
        return Finding(f"slice[{words}]", verdict, self.worse, self.low, self.high, self.n,
                       "warning", tuple(sorted(own.tolist())), details)  # fmt: skip


def _tested(
    region: Region, features: Floats, loss: Array, test: NDArray[np.int64], regression: bool
) -> _Tested | None:
    """Judge a region on rows that did not find it; None where too few of them lie in it."""
    within = _within(region, features[test])
    inside, elsewhere = loss[test][within], loss[test][~within]
    if len(inside) < FEWEST or len(elsewhere) < FEWEST:
        return None
    worse = float(inside.mean() - elsewhere.mean())
    ends = _welch(inside, elsewhere) if regression else _newcombe(inside, elsewhere)
    spread = np.sqrt(inside.var(ddof=1) / len(inside) + elsewhere.var(ddof=1) / len(elsewhere))
    if not regression:
        share = float(loss[test].mean())
        spread = np.sqrt(share * (1 - share) * (1 / len(inside) + 1 / len(elsewhere)))
    p = 2.0 * float(ndtr(-abs(worse) / spread)) if spread > 0 else 1.0
    means = float(inside.mean()), float(elsewhere.mean())
    return _Tested(region, *means, len(inside), worse, *ends, p)


def _within(region: Region, features: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.logical_and.reduce([each.holds(features) for each in region]))


def _newcombe(inside: Array, elsewhere: Array) -> tuple[float, float]:
    """The interval of a difference of two shares of different rows (Newcombe, 1998, method 10)."""
    a, b = float(inside.mean()), float(elsewhere.mean())
    low_a, high_a = wilson(float(inside.sum()), len(inside), LEVEL)
    low_b, high_b = wilson(float(elsewhere.sum()), len(elsewhere), LEVEL)
    below = float(np.hypot(a - low_a, high_b - b))
    above = float(np.hypot(high_a - a, b - low_b))
    return a - b - below, a - b + above


def _welch(inside: Array, elsewhere: Array) -> tuple[float, float]:
    """The interval of a difference of two means (Welch, 1947)."""
    own, other = (float(v.var(ddof=1)) / len(v) for v in (inside, elsewhere))
    whole_spread = own + other
    if whole_spread == 0:
        return 0.0, 0.0
    freedom = whole_spread**2 / (own**2 / (len(inside) - 1) + other**2 / (len(elsewhere) - 1))
    half = -float(stdtrit(freedom, (1 - LEVEL) / 2)) * whole_spread**0.5
    difference = float(inside.mean() - elsewhere.mean())
    return difference - half, difference + half


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
