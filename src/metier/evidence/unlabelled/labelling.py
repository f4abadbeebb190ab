"""Which rows are worth a label next: those that the model is unsure of, and unlike each other."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metier.errors import OptionError, suggest
from metier.evidence.answers import Array
from metier.runtime.postprocess import TaskKind
from metier.types import Rows

By = Literal["both", "margin", "diversity"]
"""What rows are chosen by. Numbers have no margin: theirs are chosen by diversity alone."""


def check_by(by: str) -> By:
    """Return the way of choosing. Raises OptionError for a word that is none."""
    known: tuple[By, ...] = get_args(By)
    if by not in known:
        raise OptionError(f"unknown --by {by!r}{suggest(by, known)}")
    return known[known.index(by)]


def margins(probabilities: Array, kind: TaskKind) -> Array:
    """Return how sure each answer is, (n,), from 0, a draw, to 1.

    The probability of the likeliest class less that of the next; with several labels that of the
    label that is nearest to a draw.

    >>> margins(np.array([[0.6, 0.3, 0.1], [0.4, 0.4, 0.2]]), "multiclass").round(2)
    array([0.3, 0. ])
    """
    if kind == "multilabel":
        return np.asarray(np.abs(2 * probabilities - 1).min(axis=1))
    top = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def choose_rows(
    probabilities: Array | None,
    features: NDArray[Any] | None,
    kind: TaskKind,
    n: int,
    *,
    by: By = "both",
    seed: int = 0,
) -> Rows:
    """Return the numbers of the n rows that are worth a label, the first one first.

    "both" spreads rows over the gradients that their likeliest label would give the last layer
    (BADGE; Ash et al., 2020), "margin" takes the least sure answers, "diversity" spreads rows over
    the features. Spreading is k-means++ seeding: equal rows are never chosen twice.

    Args:
        probabilities: (n, labels); None for numbers.
        features: (n, d); None where the model has none, and only margins are left.
        kind: the shape of the answer.
        n: how many; all rows when there are not more.
        by: what to choose by.
        seed: of the draws.
    """
    count = len(probabilities) if features is None and probabilities is not None else 0
    count = count if features is None else len(features)
    n = min(n, count)
    if by == "margin" and probabilities is not None:
        return np.argsort(margins(probabilities, kind), kind="stable")[:n].astype(np.int64)
    pull = np.ones((count, 1))
    if by != "diversity" and probabilities is not None:
        pull = probabilities - _likeliest(probabilities, kind)
    lengths = np.ones((count, 1)) if features is None else _unit(features)
    return _spread(pull, lengths, n, seed)


def _likeliest(probabilities: Array, kind: TaskKind) -> Array:
    if kind == "multilabel":
        return np.asarray(probabilities > 0.5, dtype=np.float64)
    return np.asarray(np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)])


def _unit(features: NDArray[Any]) -> Array:
    """Features from their mean, each of length one."""
    away = np.asarray(features, np.float64) - np.asarray(features, np.float64).mean(axis=0)
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12))


def _spread(pull: Array, features: Array, n: int, seed: int) -> Rows:
    """k-means++ seeding (Arthur and Vassilvitskii, 2007) on the outer products of two vectors a
    row, which are never made: their inner products are products of inner products.

    Zero counts as chosen before the first: a row that would move nothing teaches nothing.
    """
    random = np.random.default_rng(seed)
    own = (pull**2).sum(axis=1) * (features**2).sum(axis=1)
    nearest, chosen = own.copy(), list[int]()
    while len(chosen) < n:
        total = float(nearest.sum())
        if total <= 1e-12:
            rest = np.setdiff1d(np.arange(len(own)), chosen)
            chosen += random.permutation(rest)[: n - len(chosen)].tolist()
            break
        last = int(random.choice(len(own), p=nearest / total))
        chosen.append(last)
        shared = (pull @ pull[last]) * (features @ features[last])
        nearest = np.minimum(nearest, np.maximum(own + own[last] - 2 * shared, 0.0))
        nearest[last] = 0.0
    return np.asarray(chosen, dtype=np.int64)
