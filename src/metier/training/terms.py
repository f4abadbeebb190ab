"""Linear models on counted terms: sparse rows, regularisation chosen on rows set aside."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.counts import Tfidf
from metier.runtime.postprocess import TaskKind
from metier.runtime.preprocess import Columns, joined_texts
from metier.training.climb import climb
from metier.training.folds import Fold
from metier.training.heads import Weights
from metier.types import Floats

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Inverse regularisation, from strong to weak. Rows have length 1, so it needs no unit."""
USUAL = 30.0
MOST_TERMS = 50_000
FEW_ROWS = 1000
"""Below this many rows a term that occurs in one row only is kept."""
Sparse = Any
"""A scipy CSR matrix (n, terms), float32."""


@dataclass(frozen=True)
class TermWeights:
    """What each term adds to each score: `table` (terms, outputs), `bias` (outputs,)."""

    table: Floats
    bias: Floats
    strength: float


def fit_vocabulary(
    columns: Columns, names: Sequence[str], characters: tuple[int, int] | None
) -> tuple[Tfidf, Sparse]:
    """Return the vocabulary of the training texts, and their weighted counts.

    Texts without a single term give one empty vocabulary entry, so that there is always a column.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    plain = Tfidf(tuple(names), characters=characters)
    texts = joined_texts(columns, names)
    counter = TfidfVectorizer(
        analyzer=plain.terms,
        sublinear_tf=plain.sublinear,
        min_df=1 if len(texts) < FEW_ROWS else 2,
        max_features=MOST_TERMS,
        dtype=np.float32,
    )
    try:
        rows = counter.fit_transform(texts)
    except ValueError:
        # No term at all: every text is empty, or no term occurs twice.
        from scipy.sparse import csr_matrix

        unmet = Tfidf(plain.columns, ("",), (1.0,), characters=characters)
        return unmet, csr_matrix(np.zeros((len(texts), 1), dtype=np.float32))
    fitted = Tfidf(
        plain.columns,
        tuple(counter.get_feature_names_out().tolist()),
        tuple(float(v) for v in counter.idf_),
        characters=characters,
    )
    return fitted, rows


def fit_terms(
    rows: Sparse,
    targets: NDArray[Any],
    kind: TaskKind,
    outputs: int,
    folds: Sequence[Fold],
    *,
    balanced: bool = False,
    strength: float | None = None,
    until: float | None = None,
    weights: Weights = None,
) -> TermWeights:
    """Fit (multinomial) logistic regression, one a label, or ridge.

    Without `strength` the one with the lowest loss on the folds is taken; past the instant `until`
    no further one, and no further fold, is tried. `weights` (n,) weigh rows.
    """
    strength = strength or _choose(rows, targets, kind, outputs, folds, balanced, until, weights)
    table, bias = _fit(rows, targets, kind, outputs, strength, balanced, weights)
    return TermWeights(table.astype(np.float32), bias.astype(np.float32), strength)


def _choose(
    rows: Sparse,
    targets: NDArray[Any],
    kind: TaskKind,
    outputs: int,
    folds: Sequence[Fold],
    balanced: bool,
    until: float | None,
    weights: Weights,
) -> float:
    def loss_of(strength: float) -> float:
        losses = []
        for train, judge in folds:
            own, judging = (None if weights is None else weights[each] for each in (train, judge))
            fitted = _fit(rows[train], targets[train], kind, outputs, strength, balanced, own)
            scores = np.asarray(rows[judge] @ fitted[0]) + fitted[1]
            losses.append(_loss(scores, targets[judge], kind, judging))
            if until is not None and time.monotonic() > until:
                break
        return float(np.mean(losses))

    return climb(STRENGTHS, USUAL, loss_of, until) if folds else USUAL


def _loss(scores: NDArray[Any], targets: NDArray[Any], kind: TaskKind, weights: Weights) -> float:
    """Mean log loss, or mean squared error."""
    if kind == "regression":
        return float(np.average((scores[:, 0] - targets) ** 2, weights=weights))
    if kind == "multilabel":
        each = np.logaddexp(0.0, np.where(targets > 0, -scores, scores)).mean(axis=1)
        return float(np.average(each, weights=weights))
    scores = scores - scores.max(axis=1, keepdims=True)
    own = scores[np.arange(len(targets)), targets]
    return float(np.average(np.log(np.exp(scores).sum(axis=1)) - own, weights=weights))


def _fit(
    rows: Sparse,
    targets: NDArray[Any],
    kind: TaskKind,
    outputs: int,
    strength: float,
    balanced: bool,
    weights: Weights,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights (terms, outputs) and bias (outputs,)."""
    if kind == "regression":
        from sklearn.linear_model import Ridge

        ridge = Ridge(alpha=3.0 / strength, solver="sparse_cg", tol=1e-5)
        ridge.fit(rows, targets, weights)
        return ridge.coef_.reshape(-1, 1), np.array([ridge.intercept_], dtype=np.float64)
    if kind != "multilabel":
        return _logistic(rows, targets, outputs, strength, balanced, weights)
    pairs = [
        _logistic(rows, targets[:, j].astype(np.int64), 2, strength, balanced, weights)
        for j in range(outputs)
    ]
    tables = [table[:, 1] - table[:, 0] for table, _ in pairs]
    return np.stack(tables, axis=1), np.array([bias[1] - bias[0] for _, bias in pairs])


def _logistic(
    rows: Sparse,
    targets: NDArray[Any],
    outputs: int,
    strength: float,
    balanced: bool,
    weights: Weights,
) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(targets)
    table = np.zeros((rows.shape[1], outputs))
    bias = np.full(outputs, -10.0)  # a class that no row has
    if len(present) == 1:
        bias[present] = 0.0
        return table, bias
    model = LogisticRegression(
        C=strength, max_iter=200, tol=1e-3, class_weight="balanced" if balanced else None
    )
    with warnings.catch_warnings():
        # Nearly converged predicts the same; the strength is chosen by its loss.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, targets, sample_weight=weights)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(present) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    table[:, present], bias[present] = coefficients.T, intercepts
    return table, bias
