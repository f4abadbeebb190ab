"""How few trees and leaves of a sum of boosters say as much, and the sum that has no more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.deploy.booster import Booster, Member
from metier.deploy.pruning import Grown, read_trees, with_trees
from metier.types import Floats, Task

TREES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the trees that may be kept, the first ones of each booster."""
SPLITS = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9)
"""Shares of the splits that may go, those of least gain first."""
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Thinness:
    """How thin: the share of the boosters and of the trees that is kept, and the share of the
    splits that is small."""

    boosters: float = 1.0
    trees: float = 1.0
    splits: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A sum of boosters, and rows to judge it on: what it reads of them, float32 (n, features), and
    their targets as the task encodes them."""

    model: Booster
    numbers: Floats
    targets: NDArray[Any]


@dataclass(frozen=True)
class Judged:
    """What was chosen, its loss and that of the whole model."""

    thin: Thinness
    loss: float
    whole: float


def choose(trials: Sequence[Trial], task: Task, tolerance: float, fewer_boosters: bool) -> Judged:
    """Return the thinness with the fewest splits and leaves whose loss is hardly higher.

    It is taken to be higher by what it is on these rows and one standard error more, since the
    smallest of many is a lucky one.

    Args:
        trials: boosters, each with rows that it has not learned from if the answer is to be
            trusted.
        task: says what the loss is.
        tolerance: by what share the loss may be higher.
        fewer_boosters: whether the boosters are averaged, so that fewer can stand for all.
    """
    losses: dict[Thinness, list[Doubles]] = {}
    sizes: dict[Thinness, int] = {}
    for trial in trials:
        for thin, scores, size in _outcomes(trial, fewer_boosters):
            losses.setdefault(thin, []).append(_losses(scores, trial.targets, task))
            sizes[thin] = sizes.get(thin, 0) + size
    whole = np.concatenate(losses[Thinness()])
    found = Thinness()
    for thin, parts in losses.items():
        if len(parts) < len(trials):
            continue
        worse = np.concatenate(parts) - whole
        error = float(worse.std()) / math.sqrt(len(worse))
        bound = tolerance * abs(float(whole.mean()))
        if float(worse.mean()) + error <= bound and sizes[thin] < sizes[found]:
            found = thin
    return Judged(found, float(np.concatenate(losses[found]).mean()), float(whole.mean()))


def thinned(model: Booster, thin: Thinness) -> Booster:
    """Return a sum of boosters that is as thin as that; at least one tree of each goal is left."""
    members = []
    for group in _groups(model):
        kept = group[: max(1, math.ceil(thin.boosters * len(group) - 1e-9))]
        for member in kept:
            trees = read_trees(member.text)
            gain = _gain(trees, thin.splits)
            trees = [tree.without(gain)[0] for tree in trees]
            count = _first(len(trees), member.forest.outputs, thin.trees)
            text = with_trees(member.text, trees[:count])
            members.append(Member(text, member.weight * len(group) / len(kept), member.first))
    return replace(model, members=tuple(members))


def _groups(model: Booster) -> list[list[Member]]:
    """Boosters that add to the same outputs, in the order of the outputs."""
    found: dict[int, list[Member]] = {}
    for member in model.members:
        found.setdefault(member.first, []).append(member)
    return [found[first] for first in sorted(found)]


def _gain(trees: Sequence[Grown], splits: float) -> float:
    """The gain that this share of the splits does not exceed."""
    gains = np.concatenate([tree.gains for tree in trees])
    return float(np.quantile(gains, splits)) if splits and len(gains) else -math.inf


def _first(trees: int, outputs: int, share: float) -> int:
    """How many trees the share is, in whole rounds of one tree an output."""
    return max(1, math.ceil(share * (trees // outputs) - 1e-9)) * outputs


@dataclass(frozen=True)
class _Seen:
    """A booster, its trees, and the leaf that each row reaches in each: (n, trees)."""

    member: Member
    trees: Sequence[Grown]
    leaves: NDArray[np.int64]


def _seen(member: Member, numbers: Floats) -> _Seen:
    leaves = member.booster.predict(numbers, pred_leaf=True, num_threads=1)
    found = np.asarray(leaves, dtype=np.int64).reshape(len(numbers), -1)
    return _Seen(member, read_trees(member.text), found)


def _outcomes(trial: Trial, fewer_boosters: bool) -> Iterator[tuple[Thinness, Doubles, int]]:
    """Scores (n, outputs) and size for every way of being thin."""
    groups = [[_seen(m, trial.numbers) for m in group] for group in _groups(trial.model)]
    for splits in SPLITS:
        yield from _without(trial.model, groups, splits, fewer_boosters)


def _without(
    model: Booster, groups: Sequence[Sequence[_Seen]], splits: float, fewer_boosters: bool
) -> Iterator[tuple[Thinness, Doubles, int]]:
    """The outcomes with these splits gone, for every number of boosters and share of trees."""
    most = max(len(group) for group in groups)
    fewer = fewer_boosters and all(len(group) == most for group in groups)
    sums = np.zeros((len(TREES), len(groups[0][0].leaves), model.outputs))
    sizes = np.zeros(len(TREES), dtype=np.int64)
    for number in range(most):
        for seen in (group[number] for group in groups if number < len(group)):
            _add(seen, splits, sums, sizes)
        if fewer or number == most - 1:
            share = (number + 1) / most
            # What the trees of a larger share say includes what those of a smaller one do.
            scores = np.cumsum(sums[::-1], axis=0)[::-1] / share + np.asarray(model.offset or 0.0)
            size = np.cumsum(sizes[::-1])[::-1]
            for place, trees in enumerate(TREES):
                yield Thinness(share, trees, splits), scores[place], int(size[place])


def _add(seen: _Seen, splits: float, sums: Doubles, sizes: NDArray[np.int64]) -> None:
    """Add what each tree says, and its size, to the smallest share of the trees that it is in."""
    outputs = seen.member.forest.outputs
    gain = _gain(seen.trees, splits)
    counts = [_first(len(seen.trees), outputs, share) for share in TREES]
    for i, tree in enumerate(seen.trees):
        smaller, new = tree.without(gain)
        said = smaller.values[new[seen.leaves[:, i]]]
        place = max(k for k, count in enumerate(counts) if i < count)
        sums[place, :, seen.member.first + i % outputs] += seen.member.weight * said
        sizes[place] += len(smaller.gains) + len(smaller.values)


def _losses(scores: Doubles, targets: NDArray[Any], task: Task) -> Doubles:
    """What boosters are trained on, for each row: log loss, squared or absolute error."""
    if task.kind == "regression":
        error = scores[:, 0] - targets
        return np.asarray(np.abs(error) if task.metrics[0] == "mae" else error**2)
    if task.kind == "multilabel":
        sides = np.where(targets > 0, -scores, scores)
        return np.asarray(np.logaddexp(0.0, sides).mean(axis=1))
    top = scores.max(axis=1)
    sums = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return np.asarray(sums - scores[np.arange(len(scores)), targets])
